"""The openai engine against a server that refuses, stalls, answers 500 and cuts streams."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlperf_llama_base.errors import EnvironmentFault, RunError, UserError
from sut.engines import openai_args
from sut.engines.openai import OpenAIEngine
from sut.messages import Completion, EngineSettings, Event, Failure, FirstToken, Request
from tests.sut.engines.fake_server import LENGTH, FakeServer


def engine_for(server: FakeServer | str, *, first_tokens: bool = True, **args: Any) -> OpenAIEngine:
    url = server if isinstance(server, str) else server.url
    quick = {"url": url, "backoff_s": 0.02, "retries": 3, "timeout_s": 5.0}
    return OpenAIEngine(EngineSettings(name="openai", model="ignored", first_tokens=first_tokens, args=quick | args))


def requests(*starts: int) -> list[Request]:
    return [Request(i, np.array([start, 7, 7], "<i4").tobytes()) for i, start in enumerate(starts)]


def ids(tokens: bytes) -> list[int]:
    return [int(i) for i in np.frombuffer(tokens, "<i4")]


def expected(start: int) -> list[int]:
    return [start + 1 + n for n in range(LENGTH)]


def run(engine: OpenAIEngine, work: list[Request]) -> list[Event]:
    engine.submit(work)
    events: list[Event] = []
    deadline = time.monotonic() + 30
    while engine.outstanding:
        assert time.monotonic() < deadline
        events += engine.poll(0.5)
    return events


@pytest.mark.parametrize("first_tokens", [True, False])
def test_tokens_of_many_requests(first_tokens: bool) -> None:
    starts = list(range(100, 2100, 10))
    with FakeServer() as server:
        engine = engine_for(server, first_tokens=first_tokens, max_connections=8)
        info = engine.load()
        events = run(engine, requests(*starts))
        engine.close()
    assert (info.capacity, info.max_prompt_tokens) == (8, 2668 - 128)
    completions = {e.id: ids(e.tokens) for e in events if isinstance(e, Completion)}
    assert completions == {i: expected(start) for i, start in enumerate(starts)}
    firsts = {e.id: ids(e.tokens) for e in events if isinstance(e, FirstToken)}
    assert firsts == ({i: [start + 1] for i, start in enumerate(starts)} if first_tokens else {})
    assert server.most_in_flight == 8
    assert len(server.connections) <= 8  # kept open and used again
    body = server.bodies[-1]
    assert (body["temperature"], body["max_tokens"], body["min_tokens"]) == (0, 128, 1)
    assert body["return_token_ids"] is True


@pytest.mark.parametrize("fault", ["500", "429", "hang-up", "cut", "error"])
def test_a_fault_is_asked_again_and_the_first_token_reported_once(fault: str) -> None:
    with FakeServer(faults={100: [fault, fault]}) as server:
        engine = engine_for(server)
        engine.load()
        events = run(engine, requests(100, 200))
        assert engine.live_facts()["requests_asked_again"] == 1
        engine.close()
    assert server.attempts[100] == 3
    assert [ids(e.tokens) for e in events if e.id == 0 and not isinstance(e, Failure)] == [[101], expected(100)]
    assert [ids(e.tokens) for e in events if e.id == 1 and not isinstance(e, Failure)] == [[201], expected(200)]


def test_a_stalled_stream_is_asked_again() -> None:
    with FakeServer(faults={100: ["stall"]}) as server:
        engine = engine_for(server, timeout_s=0.5)
        engine.load()
        events = run(engine, requests(100))
        engine.close()
    assert [type(e) for e in events] == [FirstToken, Completion]


def test_another_first_token_after_a_cut_is_no_answer() -> None:
    with FakeServer(faults={100: ["other"]}) as server:
        engine = engine_for(server)
        engine.load()
        first, last = run(engine, requests(100))
        engine.close()
    assert isinstance(first, FirstToken) and ids(first.tokens) == [1101]
    assert isinstance(last, Failure)
    assert "began with token 101, not with 1101" in last.reason


def test_a_request_that_always_fails_fails_alone() -> None:
    with FakeServer(faults={100: ["500"] * 9, 300: ["400"]}) as server:
        engine = engine_for(server)
        engine.load()
        events = run(engine, requests(100, 200, 300))
        engine.close()
    failures = {e.id: e.reason for e in events if isinstance(e, Failure)}
    assert set(failures) == {0, 2}
    assert "500" in failures[0] and "attempts: 4" in failures[0]
    assert "400" in failures[2] and "attempts: 1" in failures[2]
    assert server.attempts == {100: 4, 200: 1, 300: 1, 1: 1}


def test_a_server_that_goes_away_breaks_the_engine() -> None:
    with FakeServer() as server:
        engine = engine_for(server)
        engine.load()
        assert len(run(engine, requests(100))) == 2
    engine.submit(requests(200))
    with pytest.raises(RunError, match="is gone: no connection"):
        while True:
            engine.poll(1.0)
    engine.close()


def test_a_server_that_comes_back_within_the_attempts() -> None:
    with FakeServer() as server:
        engine = engine_for(server, backoff_s=0.3)
        engine.load()
        port = int(server.url.rsplit(":", 1)[1])
    engine.submit(requests(100))
    assert engine.poll(0.2) == []
    with FakeServer(port=port):
        events = run(engine, [])
        engine.close()
    assert [type(e) for e in events] == [FirstToken, Completion]


def test_no_server() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        engine = engine_for(url)
        with pytest.raises(EnvironmentFault, match="is the server running there"):
            engine.load()
        engine.close()


def test_fields_that_a_server_does_not_know_are_left_out() -> None:
    with FakeServer(unknown=("min_tokens",)) as server:
        engine = engine_for(server)
        info = engine.load()
        run(engine, requests(100))
        engine.close()
    assert info.facts["dropped_fields"] == ["min_tokens"]
    assert "min_tokens" not in server.bodies[-1]


class Words:
    """Encodes `` w12`` as 12."""

    eos_token_id = 2

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [int(word[1:]) for word in text.split()]


def test_text_is_encoded_again_where_there_are_no_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer(token_ids=False) as server:
        with pytest.raises(UserError, match=r"set engine\.args\.tokenizer"):
            engine_for(server).load()
        monkeypatch.setattr(openai_args, "load_tokenizer", lambda name: Words())
        engine = engine_for(server, tokenizer="words")
        info = engine.load()
        first, last = run(engine, requests(100))
        facts = engine.live_facts()
        engine.close()
    assert isinstance(first, FirstToken) and ids(first.tokens) == [101]
    assert isinstance(last, Completion) and ids(last.tokens) == [*expected(100), 2]
    assert info.facts["token_ids"] == "from re-encoded text, may differ"
    assert any("tokenizer's, not the model's" in reason for reason in info.not_submittable)
    assert facts["token_counts_that_differ"] == 1  # the server counted no EOS


def test_the_key_comes_from_the_environment_and_is_never_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("FAKE_KEY", "sesame-4711")
    with FakeServer(key="sesame-4711", faults={100: ["500"]}) as server:
        engine = engine_for(server, api_key_env="FAKE_KEY")
        info = engine.load()
        run(engine, requests(100))
        engine.close()
        monkeypatch.setenv("FAKE_KEY", "wrong-4711")
        refused = engine_for(server, api_key_env="FAKE_KEY")
        with pytest.raises(UserError, match=r"check engine\.args\.api_key_env") as error:
            refused.load()
        refused.close()
    monkeypatch.delenv("FAKE_KEY")
    with pytest.raises(UserError, match="FAKE_KEY is not set"):
        engine_for(server, api_key_env="FAKE_KEY").load()
    assert "4711" not in caplog.text + str(error.value) + repr(info)


@pytest.mark.parametrize(
    ("metrics", "stated", "reason"),
    [
        ('vllm:cache_config_info{cache_dtype="fp8",enable_prefix_caching="False"} 1.0', False, None),
        ('vllm:cache_config_info{cache_dtype="fp8",enable_prefix_caching="True"} 1.0', True, "prefix caching is on"),
        ("", False, "does not say"),
        ("", True, None),
    ],
)
def test_prefix_caching_of_the_server_decides_what_may_be_submitted(
    metrics: str, stated: bool, reason: str | None
) -> None:
    with FakeServer(metrics=metrics) as server:
        engine = engine_for(server, no_prefix_caching=stated)
        info = engine.load()
        engine.close()
    assert info.prefix_caching is (reason == "prefix caching is on")
    assert len(info.not_submittable) == (reason is not None)
    assert reason is None or reason in info.not_submittable[0]
    assert info.kv_cache_dtype == ("fp8" if metrics else "unknown")


def test_each_worker_has_its_server(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {"url": None, "urls": ["http://a:1", "http://b:2/v1/"]}
    urls = []
    for worker in ("0", "1", "2"):
        monkeypatch.setenv(openai_args.WORKER_ID, worker)
        urls.append(engine_for("", **given).url)
    assert urls == ["http://a:1", "http://b:2", "http://a:1"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"url": None}, "needs engine.args.url"),
        ({"url": "localhost:8000"}, "give http://HOST:PORT"),
        ({"url": "http://me:secret@host:1"}, "no credentials in the URL"),
        ({"max_conections": 4}, "did you mean 'max_connections'"),
        ({"timeout_s": 0}, r"engine\.args\.timeout_s: input should be greater than 0"),
    ],
)
def test_wrong_arguments(args: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        engine_for("http://host:1", **args)
    assert "secret" not in str(error.value)


def test_tls_settings(tmp_path: Path) -> None:
    def context(**args: Any) -> ssl.SSLContext | bool:
        return openai_args.tls(openai_args.OpenAIArgs(url="https://host", **args))

    assert context() is True
    assert context(verify_tls=False) is False
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(UserError, match="no readable certificates"):
        context(ca_file=str(tmp_path / "ca.pem"))
