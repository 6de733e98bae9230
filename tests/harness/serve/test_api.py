"""One server with the null engine, whose answer to a prompt is the prompt: what clients may ask, and what they get."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.endpoints.rehearsal import rehearsal_rows
from harness.serve.templates import PLAIN
from qsl.prompt import render
from tests.harness.serve import tokenizers
from tests.harness.serve.client import Endpoint, serving
from tests.helpers.waiting import until

TEXT = "Grüße an die 🦙🦙 der 世界, don't stop"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    return tokenizers.make(folder / "tokenizer")


@pytest.fixture(scope="module")
def started(folder: Path, tokenizer: Any) -> Iterator[tuple[Endpoint, str]]:
    """The server, and its metrics before it was asked for anything."""
    options = ("--set", f"model.tokenizer={folder / 'tokenizer'}", "--set", "engine.args.step_ms=1")
    with serving(folder, "--engine", "null", *options, "--set", "workers.heartbeat_s=0.2") as endpoint:
        yield endpoint, endpoint.ask("/metrics").body.decode()


@pytest.fixture(scope="module")
def server(started: tuple[Endpoint, str]) -> Endpoint:
    return started[0]


def ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def echo(tokenizer: Any, text: str = TEXT, **more: Any) -> dict[str, Any]:
    """Fields that make the null engine say ``text``."""
    prompt = ids(tokenizer, text)
    return {"prompt": prompt, "max_tokens": len(prompt), "ignore_eos": True, **more}


@pytest.mark.timeout(240)  # the first of the module starts the server
def test_a_stream_is_the_same_answer_in_pieces(server: Endpoint, tokenizer: Any) -> None:
    asked = echo(tokenizer, return_token_ids=True)
    prompt = asked["prompt"]
    whole = server.complete(**asked)
    assert whole.status == 200, whole.body
    choice = whole.json["choices"][0]
    assert choice["token_ids"] == choice["prompt_token_ids"] == prompt
    assert (choice["text"], choice["finish_reason"]) == (TEXT, "length")
    n = len(prompt)
    assert whole.json["usage"] == {"prompt_tokens": n, "completion_tokens": n, "total_tokens": 2 * n}
    stream = server.complete(**asked, stream=True, stream_options={"include_usage": True})
    assert stream.done and stream.text == TEXT and stream.ids == prompt
    assert stream.events[-1]["choices"] == [] and stream.events[-1]["usage"] == whole.json["usage"]


def test_no_half_of_a_character_leaves_and_no_chunk_is_empty(server: Endpoint, tokenizer: Any) -> None:
    stream = server.complete(**echo(tokenizer), stream=True)
    texts = [c["text"] for e in stream.events for c in e["choices"]]
    assert "".join(texts) == TEXT and not any(REPLACEMENT in text for text in texts)
    assert all(texts[:-1])
    cut = echo(tokenizer, "𝄞")  # an answer that ends inside a character says so, as decoding all of it does
    cut["max_tokens"] -= 1
    assert server.complete(**cut, stream=True).text == server.complete(**cut).json["choices"][0]["text"] == REPLACEMENT


def test_a_stop_string_ends_the_answer_wherever_tokens_begin(server: Endpoint, tokenizer: Any) -> None:
    asked = echo(tokenizer, stop=["stop", "r 世", "never"], return_token_ids=True)
    whole = server.complete(**asked).json
    stream = server.complete(**asked, stream=True, stream_options={"include_usage": True})
    before = TEXT[: TEXT.index("r 世")]
    assert (whole["choices"][0]["text"], whole["choices"][0]["finish_reason"]) == (before, "stop")
    assert stream.text == before and stream.done
    assert stream.events[-2]["choices"][0]["finish_reason"] == "stop"
    made = stream.events[-1]["usage"]["completion_tokens"]
    assert made == len(stream.ids) == whole["usage"]["completion_tokens"] < len(asked["prompt"])
    assert tokenizer.decode(stream.ids).startswith(before)
    least = server.complete(**asked, min_tokens=len(asked["prompt"])).json
    assert least["choices"][0]["text"] == TEXT


def test_several_prompts_are_several_choices(server: Endpoint, tokenizer: Any) -> None:
    texts = ["the bank", "Article: 🦙", "Zürich"]
    most = min(len(ids(tokenizer, text)) for text in texts)
    whole = server.complete([ids(tokenizer, t) for t in texts], max_tokens=most, ignore_eos=True).json
    assert [c["index"] for c in whole["choices"]] == [0, 1, 2]
    stream = server.complete(texts, max_tokens=most, ignore_eos=True, add_special_tokens=False, stream=True)
    assert stream.done
    for choice in whole["choices"]:
        pieces = [c for e in stream.events for c in e["choices"] if c["index"] == choice["index"]]
        assert "".join(c["text"] for c in pieces) == choice["text"]
        assert [c["finish_reason"] for c in pieces][-1] == "length"


def test_templates(server: Endpoint, tokenizer: Any) -> None:
    messages = [{"role": "user", "content": f"  {TEXT}\n"}]
    bos = tokenizer.bos_token_id
    given = server.ask("/tokenize", {"messages": messages, "chat_template": PLAIN}).json["tokens"]
    assert given == [bos, *ids(tokenizer, TEXT)]
    own = server.ask("/tokenize", {"messages": messages}).json["tokens"]
    assert own == tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    parts = [{"role": "user", "content": [{"type": "text", "text": f"  {TEXT}\n"}]}]
    assert server.ask("/tokenize", {"messages": parts}).json["tokens"] == own
    answer = server.chat(
        TEXT, max_tokens=5, stream=True, chat_template=PLAIN, seed=2**64 - 1, top_p=1.0, temperature=0.0
    )
    assert answer.done and answer.events[0]["choices"][0]["delta"]["role"] == "assistant"
    assert answer.events[-1]["choices"][0]["finish_reason"] == "length"
    for foreign in (PLAIN + " ", PLAIN.replace("trim", "upper"), "{{ ''.__class__ }}"):
        refused = server.chat(TEXT, chat_template=foreign)
        assert refused.status == 400 and refused.json["error"]["param"] == "chat_template"


def test_a_rehearsal_s_summaries_are_to_the_letter_what_is_answered(server: Endpoint, folder: Path) -> None:
    """In MLCommons' client, whose scorer takes long over texts that differ."""
    rows = rehearsal_rows(str(folder / "tokenizer"), count=40)
    assert len(set(rows["article"])) == 40 and rows["article"][39].startswith("Report 39. ")
    for number in (0, 39):
        answer = server.chat(render(rows["article"][number]), chat_template=PLAIN, stream=True)
        assert answer.done and answer.text == rows["highlights"][number] != ""


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "temperature": ({"temperature": 0.7}, "temperature: only 0 is served"),
    "n": ({"n": 2}, "n: only 1"),
    "logprobs": ({"logprobs": 5}, "logprobs: only False"),
    "suffix": ({"suffix": "x"}, "suffix"),
    "frequency_penalty": ({"frequency_penalty": 0.5}, "frequency_penalty: only 0"),
    "max_tokens": ({"max_tokens": 0}, "max_tokens: expected `int` >= 1"),
    "max_completion_tokens": ({"max_completion_tokens": 2**64}, "max_completion_tokens: expected `int` <= 2147483647"),
    "min_tokens": ({"min_tokens": 9, "max_tokens": 3}, "min_tokens: 9, more than max_tokens (3)"),
    "seed": ({"seed": 2**64}, "seed: from 0 to 18446744073709551615"),
    "stop": ({"stop": [""]}, "stop: at most 16 strings"),
    "stream_options": ({"stream_options": {}}, "stream_options: only where stream is true"),
    "max_token": ({"max_token": 3}, "max_token: this field is not known; did you mean 'max_tokens'?"),
    "stream": ({"stream": "yes"}, "stream: expected `bool | null`, got `str`"),
    "prompt": ({"prompt": []}, "prompt: a text, a list of token ids"),
    "model": ({"model": "gpt-9"}, "model: 'gpt-9' is not served here, 'null' is"),
}


@pytest.mark.parametrize("param", REFUSED)
def test_what_is_not_served_is_refused_by_name(server: Endpoint, param: str) -> None:
    fields, words = REFUSED[param]
    answer = server.ask("/v1/completions", {"prompt": "x", **fields})
    assert answer.status == (404 if param == "model" else 400), answer.body
    error = answer.json["error"]
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert words in error["message"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "no JSON"),
        (b"{", 400, "no JSON"),
        (b"[1]", 400, "expected `object`"),
        (b'{"prompt": "\xff\xfe"}', 400, "utf-8"),
        (b'{"max_tokens": 3}', 400, "prompt: this field is missing"),
        (b'{"prompt": [1, -5]}', 400, "outside the vocabulary of 128256"),
        (b'{"prompt": [1, 99999999999999999999]}', 400, "prompt"),
        (b'{"prompt": [[1], "x"]}', 400, "prompt"),
        (b'{"prompt": "' + b"x" * (15 << 20) + b'"}', 400, "15,728,640 characters"),
        (b'{"prompt": [' + b"7," * (1 << 20) + b"7]}", 400, "1,048,577 tokens"),
        (b'{"prompt": "' + b"x" * (17 << 20) + b'"}', 413, "at most 16,777,216 bytes"),
    ],
)
def test_bodies_that_are_none(server: Endpoint, body: bytes, status: int, words: str) -> None:
    answer = server.ask("/v1/completions", body)
    assert answer.status == status and words in answer.json["error"]["message"], answer.body[:300]
    assert server.ask("/health").status == 200


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 999999999999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1100000\r\n" + b" " * (17 << 20)],
)
def test_a_body_that_would_be_too_large_is_not_waited_for(server: Endpoint, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n" + head)
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_a_logprob_of_the_chosen_tokens_alone_is_one_too(server: Endpoint) -> None:
    answer = server.complete("x", logprobs=0)
    assert answer.status == 400 and answer.json["error"]["param"] == "logprobs"


def test_a_body_that_is_not_packed_as_it_says(server: Endpoint) -> None:
    answer = server.ask("/v1/completions", b"no gzip", headers={"Content-Encoding": "gzip"})
    assert answer.status == 400 and "the body cannot be read" in answer.json["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * (2 << 20)}]}, "messages"),
        ({"add_generation_prompt": False}, "add_generation_prompt"),
        ({"add_special_tokens": True}, "add_special_tokens"),
    ],
)
def test_tokenize_refuses_what_it_does_not_do(server: Endpoint, fields: dict[str, Any], param: str) -> None:
    answer = server.ask("/tokenize", {"messages": [{"role": "user", "content": TEXT}], **fields})
    assert answer.status == 400 and answer.json["error"]["param"] == param


def test_half_a_surrogate_harms_nobody(server: Endpoint) -> None:
    answer = server.ask("/v1/completions", b'{"prompt": "\\ud83e", "max_tokens": 2}')
    assert answer.status in (200, 400)


def test_paths_and_pages(server: Endpoint, tokenizer: Any) -> None:
    assert server.ask("/v1/nothing").json["error"]["message"].startswith("GET /v1/nothing")
    assert server.ask("/v1/completions").status == 405
    [model] = server.ask("/v1/models").json["data"]
    assert model["id"] == model["root"] == "null" and server.ask("/v1/models/null").json == model
    assert server.ask("/version").json["chat_template"] == "model"
    assert server.ask("/detokenize", {"tokens": ids(tokenizer, TEXT)}).json == {"prompt": TEXT}
    assert server.complete("x", model="meta-llama/Llama-3.1-8B-Instruct", max_tokens=1).status == 200


def test_metrics_have_their_types_and_count(server: Endpoint, tokenizer: Any) -> None:
    name = "mlperf_llama"
    of_worker = {"scenario": "serve", "worker": "0", "run": server.folder.name}
    before = server.metric(f"{name}_generation_tokens_total")
    asked = echo(tokenizer)
    server.complete(**asked, stream=True)
    made = before + len(asked["prompt"])
    until(lambda: server.metric(f"{name}_generation_tokens_total", **of_worker) >= made)
    page = server.ask("/metrics").body.decode()
    for kind, metric in (
        ("counter", "samples_total"),
        ("histogram", "time_to_first_token_seconds"),
        ("gauge", "running"),
    ):
        assert f"# TYPE {name}_{metric} {kind}" in page
    assert server.metric(f"{name}_time_per_output_token_seconds_count", **of_worker) > 0
    assert server.metric(f"{name}_request_latency_seconds_count", **of_worker) > 0


def test_what_can_be_counted_is_there_before_it_is(started: tuple[Endpoint, str]) -> None:
    server, page = started  # aiperf, like PromQL's increase, takes the first value that it sees as where it began
    run = f'run="{server.folder.name}",scenario="serve"'
    counted = [f'samples_total{{outcome="{outcome}",{run},worker="0"}}' for outcome in ("whole", "left", "failed")]
    counted += [f'{name}{{{run},worker="0"}}' for name in ("prompt_tokens_total", "request_latency_seconds_count")]
    counted += [
        f'responses_total{{path="/v1/{path}",{run},status="200"}}' for path in ("completions", "chat/completions")
    ]
    for series in counted:
        assert f"mlperf_llama_{series} 0.0" in page


def raw(server: Endpoint, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall(data)
    return connection


def request(body: dict[str, Any], *, version: str = "1.1", more: str = "") -> bytes:
    data = json.dumps(body).encode()
    return (
        f"POST /v1/completions HTTP/{version}\r\nHost: x\r\n{more}Content-Length: {len(data)}\r\n\r\n".encode() + data
    )


def read_all(connection: socket.socket) -> bytes:
    with connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_http_1_0_and_pipelining(server: Endpoint, tokenizer: Any) -> None:
    asked = echo(tokenizer, "the bank and the road", stream=True)
    old = read_all(raw(server, request(asked, version="1.0")))
    assert b"Transfer-Encoding" not in old and old.endswith(b"data: [DONE]\n\n")
    kept = read_all(raw(server, request(asked, version="1.0", more="Connection: keep-alive\r\n")))
    assert kept.endswith(b"data: [DONE]\n\n")  # and then the connection ends: the answer has no other end
    last = request(asked | {"stream": False}, more="Connection: close\r\n")
    two = read_all(raw(server, request(asked) + last))
    assert two.count(b"HTTP/1.1 200") == 2
    assert two.index(b"[DONE]") < two.rindex(b"HTTP/1.1 200") < two.rindex(b"the bank and the road")


def test_a_client_that_goes_away_frees_its_place(server: Endpoint) -> None:
    name = "mlperf_llama_samples_total"
    before = server.metric(name, outcome="left")
    with raw(server, request({"prompt": "x", "max_tokens": 10**6, "ignore_eos": True, "stream": True})) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        until(lambda: server.metric("mlperf_llama_running") == 1)
    until(lambda: server.metric(name, outcome="left") == before + 1)
    until(lambda: server.metric("mlperf_llama_running") == 0)


def test_a_client_that_does_not_read_ends_and_others_go_on(server: Endpoint, tokenizer: Any) -> None:
    body = {"prompt": ["x"] * 200, "max_tokens": 10**6, "ignore_eos": True, "stream": True}
    with raw(server, request(body)):
        until(lambda: server.metric("mlperf_llama_connections_stalled_total") == 1, 60)
        assert server.complete(**echo(tokenizer), stream=True).text == TEXT
    until(lambda: server.metric("mlperf_llama_running") == 0)


def test_openais_own_package(server: Endpoint, tokenizer: Any) -> None:
    import openai

    client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="any")
    [model] = [m.id for m in client.models.list()]
    messages = [{"role": "user", "content": TEXT}]
    plain = {"chat_template": PLAIN, "ignore_eos": True}
    count = len(ids(tokenizer, TEXT)) + 1
    ask = {"model": model, "messages": messages, "max_completion_tokens": count, "extra_body": plain, "temperature": 0}
    whole = client.chat.completions.create(**ask)
    assert whole.choices[0].message.content == TEXT and whole.choices[0].finish_reason == "length"
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (count, count)
    stream = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == TEXT
    assert stream[-1].usage == whole.usage
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model=model, prompt="x", temperature=0.5)
    assert refused.value.param == "temperature"
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="another", prompt="x")
