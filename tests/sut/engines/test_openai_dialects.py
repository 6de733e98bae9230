"""The openai engine against servers as they are: dialects of the stream, of /v1/models, of errors and of addresses."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from mlperf_llama_base.errors import EnvironmentFault, UserError
from sut import engines
from sut.engines import openai, openai_args
from sut.engines.openai import OpenAIEngine
from sut.messages import Completion, EngineSettings, Event, Failure, FirstToken, Request
from tests.sut.engines.dialects import (
    LENGTH,
    REFUSED,
    UNDERSTOOD,
    DialectServer,
    answer_to,
    choice,
    event,
    pieces,
    usage,
)


def engine_for(server: DialectServer, *, first_tokens: bool = True, **args: Any) -> OpenAIEngine:
    quick = {"url": server.url, "backoff_s": 0.01, "retries": 1, "timeout_s": 5.0} | args
    return OpenAIEngine(EngineSettings(name="openai", model="", first_tokens=first_tokens, args=quick))


def ask(engine: OpenAIEngine, start: int = 100) -> list[Event]:
    """The events of one request."""
    engine.submit([Request(0, np.array([start, 7], "<i4").tobytes())])
    events: list[Event] = []
    while engine.outstanding:
        events += engine.poll(1.0)
    return events


def ids(tokens: bytes) -> list[int]:
    return [int(i) for i in np.frombuffer(tokens, "<i4")]


@pytest.mark.parametrize("dialect", UNDERSTOOD)
def test_a_dialect_that_is_understood(dialect: str) -> None:
    with DialectServer(UNDERSTOOD[dialect], probe=UNDERSTOOD[dialect]) as server:
        engine = engine_for(server)
        engine.load()
        events = ask(engine)
        facts = engine.live_facts()
        engine.close()
    expected = answer_to([100], 128)
    assert [type(e) for e in events] == [FirstToken, Completion], events
    assert [ids(e.tokens) for e in events if not isinstance(e, Failure)] == [expected[:1], expected]
    assert facts == {"requests_asked_again": 0, "token_counts_that_differ": 0}


@pytest.mark.parametrize("dialect", REFUSED)
def test_what_is_no_answer_is_quoted(dialect: str, caplog: pytest.LogCaptureFixture) -> None:
    stream, words = REFUSED[dialect]
    with DialectServer(stream) as server:
        engine = engine_for(server)
        engine.load()
        failure = ask(engine)[-1]
        engine.close()
    assert isinstance(failure, Failure)
    assert words in failure.reason and "attempts: 2" in failure.reason
    assert (failure.reason + caplog.text.replace("\n", "")).isprintable()


@pytest.mark.parametrize(
    ("whole", "length"),
    [
        (lambda ids: {"choices": [choice(ids, "stop"), choice([7], "stop", index=1)]}, LENGTH),
        (lambda ids: {"choices": [{"text": "x", "finish_reason": "stop"}], "tokens": ids}, LENGTH),
        (lambda ids: {"choices": [{"text": "x", "finish_reason": "stop"}], "__verbose": {"tokens": ids}}, LENGTH),
        (
            lambda ids: {
                "choices": [{"text": "x", "finish_reason": "stop"}],
                "sglext": {"completion_token_ids": [ids]},
            },
            LENGTH,
        ),
    ],
    ids=["two choices", "tokens", "llama.cpp", "SGLang"],
)
def test_whole_answers(whole: Any, length: int) -> None:
    with DialectServer(whole=whole) as server:
        engine = engine_for(server, first_tokens=False)
        engine.load()
        [done] = ask(engine)
        engine.close()
    assert isinstance(done, Completion) and ids(done.tokens) == answer_to([100], length)


@pytest.mark.parametrize(
    ("stream", "tokens", "counted"),
    [
        (lambda ids: [*pieces(ids[:-1]), usage(len(ids))], LENGTH - 1, LENGTH),
        (lambda ids: [*pieces(ids), usage(len(ids) + 3)], LENGTH, LENGTH + 3),
        (lambda ids: [*pieces(ids), usage("many")], LENGTH, -1),
        (lambda ids: [*pieces(ids)], LENGTH, -1),
    ],
    ids=["the last one is dropped", "more", "no number", "none"],
)
def test_the_servers_own_count_goes_with_the_answer(stream: Any, tokens: int, counted: int) -> None:
    with DialectServer(stream) as server:
        engine = engine_for(server)
        engine.load()
        done = ask(engine)[-1]
        facts = engine.live_facts()
        engine.close()
    assert isinstance(done, Completion)
    assert (len(done.tokens) // 4, done.counted) == (tokens, counted)
    assert facts["token_counts_that_differ"] == (counted not in (-1, tokens))


def test_a_stream_that_repeats_itself_is_refused_at_once() -> None:
    def cumulative(answer: list[int]) -> list[bytes]:
        parts = [answer[: n + 1] for n in range(len(answer))]
        return [event({"choices": [choice(part, "stop" if part == answer else None)]}) for part in parts]

    with DialectServer(cumulative, probe=cumulative) as server:
        engine = engine_for(server)
        with pytest.raises(UserError, match="does its stream repeat the answer so far"):
            engine.load()
        engine.close()


def test_more_tokens_than_were_asked_for_are_for_the_rules_to_judge() -> None:
    """Answers that end in three EOS are no misunderstanding of the stream: they make the run invalid."""

    def padded(ids: list[int]) -> list[bytes]:
        return [*pieces([*ids, ids[-1], ids[-1]]), usage(len(ids) + 2)]

    with DialectServer(padded, probe=padded) as server:
        engine = engine_for(server)
        engine.load()
        done = ask(engine)[-1]
        engine.close()
    assert isinstance(done, Completion) and ids(done.tokens)[-3:] == [2, 2, 2]


def test_ids_at_the_end_of_a_stream_tell_no_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(answer: list[int]) -> list[bytes]:
        texts = [event({"choices": [{"index": 0, "text": f" w{i}", "finish_reason": None}]}) for i in answer[:-1]]
        end = event({"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]})
        return [*texts, end, event({"choices": [], "sglext": {"completion_token_ids": [answer]}})]

    with DialectServer(late, probe=late) as server:
        engine = engine_for(server)
        with pytest.raises(UserError, match=r"only at the end of its stream: set engine\.args\.tokenizer"):
            engine.load()
        engine.close()


ODD_MODELS = {
    "not there": (404, '{"detail": "Not Found"}'),
    "a web page": (200, "<html><body>Sign in</body></html>"),
    "null": (200, '{"object": "list", "data": null}'),
    "text": (200, '"none"'),
    "numbers": (200, '{"data": 3}'),
}


@pytest.mark.parametrize("page", ODD_MODELS)
def test_a_list_of_models_is_not_needed_where_one_is_named(page: str) -> None:
    with DialectServer(models=ODD_MODELS[page]) as server:
        engine = engine_for(server, model="mine")
        assert engine.load().facts["model"] == "mine"
        engine.close()
        unnamed = engine_for(server)
        with pytest.raises(UserError, match=r"set engine\.args\.model") as error:
            unnamed.load()
        unnamed.close()
    assert str(error.value).isprintable()


@pytest.mark.parametrize("page", ['[{"name": "m"}]', '{"data": [{"name": "m", "object": "model"}, 3, {"id": null}]}'])
def test_lists_of_models_as_some_servers_write_them(page: str) -> None:
    with DialectServer(models=(200, page)) as server:
        engine = engine_for(server)
        assert engine.load().facts["model"] == "m"
        engine.close()


def test_a_server_that_is_loading_is_waited_for() -> None:
    with DialectServer(loading=7) as server:  # more than the attempts of a request
        engine = engine_for(server)
        engine.load()
        assert len(ask(engine)) == 2
        engine.close()


def test_a_server_that_loads_for_ever_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with DialectServer(loading=10**9) as server:
        engine = engine_for(server)
        engine.settings.start_timeout_s = 0.2
        with pytest.raises(EnvironmentFault, match=r"not ready yet \(workers.start_timeout_s is 0.2\).*Loading model"):
            engine.load()
        engine.close()


def test_the_server_says_how_long_to_wait(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger=openai.__name__)
    with DialectServer(busy=(1, "1")) as server:
        engine = engine_for(server)
        engine.load()
        assert len(ask(engine)) == 2
        engine.close()
    assert "again in 1.0 s" in caplog.text  # 0.01 by our own rule


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/completions", "/v1/chat/completions", " "])
def test_addresses_that_people_copy(path: str) -> None:
    settings = EngineSettings(name="openai", model="", args={"url": f"http://host:1{path}"})
    assert engines.check(settings) == {}
    assert openai_args.endpoint(openai_args.parse(settings)) == "http://host:1"


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "127.0.0.1:8000",
        "http://",
        "http://host:port",
        "http://host:99999",
        "http://host:0",
        "ftp://host:1",
        "http://ho st:1",
        "http://host:1\nX: y",
        "http://host:1/?key=secret",
        "http://[::1",
        "http://user:secret@host:1",
        "user:secret@host:1",
        "http://user:secret@host:port",
        "http://:secret@",
    ],
)
def test_addresses_that_are_none(url: str) -> None:
    for args in ({"url": url}, {"urls": ["http://host:1", url]}):
        with pytest.raises(UserError, match=r"engine\.args\.url") as error:
            engines.check(EngineSettings(name="openai", model="", args=args))
        assert "user" not in str(error.value) and str(error.value).isprintable()
        assert "secret" not in str(error.value)


@pytest.mark.parametrize("key", ["sk-abc\n", "sk-abc\r\n", " sk-abc", "sk-äbc\u2019", "sk\x00abc"])
def test_a_key_that_http_cannot_carry(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"MY_KEY": key})
    settings = EngineSettings(name="openai", model="", args={"url": "http://host:1", "api_key_env": "MY_KEY"})
    with pytest.raises(UserError, match="MY_KEY") as error:
        engines.check(settings)
    assert "abc" not in str(error.value) and str(error.value).isprintable()
    with pytest.raises(UserError, match="MY_KEY"):
        openai_args.headers(openai_args.parse(settings))
