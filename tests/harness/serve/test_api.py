"""One server with the null engine, whose answer to a prompt is the prompt: what clients may ask, and what they get."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.serve import tokenizers
from tests.harness.serve.client import Endpoint, serving

TEXT = "Grüße an die 🦙🦙 der 世界, don't stop"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tmp_path_factory.mktemp("serve")


@pytest.fixture(scope="module")
def tokenizer(folder: Any) -> Any:
    return tokenizers.make(folder / "tokenizer")


@pytest.fixture(scope="module")
def server(folder: Any, tokenizer: Any) -> Iterator[Endpoint]:
    options = ("--set", f"model.tokenizer={folder / 'tokenizer'}", "--set", "engine.args.step_ms=1")
    with serving(folder, "--engine", "null", *options, "--workers", "2") as endpoint:
        yield endpoint


def ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_a_stream_is_the_same_answer_in_pieces(server: Endpoint, tokenizer: Any) -> None:
    prompt = ids(tokenizer, TEXT)
    fields = {"max_tokens": len(prompt), "ignore_eos": True, "return_token_ids": True}
    whole = server.complete(prompt, **fields)
    assert whole.status == 200, whole.body
    choice = whole.json["choices"][0]
    assert choice["token_ids"] == choice["prompt_token_ids"] == prompt
    assert (choice["text"], choice["finish_reason"]) == (TEXT, "length")
    assert whole.json["usage"] == {
        "prompt_tokens": len(prompt),
        "completion_tokens": len(prompt),
        "total_tokens": 2 * len(prompt),
    }
    stream = server.complete(prompt, **fields, stream=True, stream_options={"include_usage": True})
    assert stream.done and stream.text == TEXT and stream.ids == prompt
    assert stream.events[-1]["choices"] == [] and stream.events[-1]["usage"] == whole.json["usage"]
    assert all("\N{REPLACEMENT CHARACTER}" not in str(e) for e in stream.events)
    assert len(stream.events) > len(prompt) // 2
