"""The openai engine against a real vLLM server: the tokens are those of transformers, EOS included."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("vllm", reason="vLLM is not installed here (scripts/test.sh uses an environment of its own)")

from sut.engines.openai import OpenAIEngine
from sut.messages import Completion, EngineSettings, Event, Failure, FirstToken, Request
from tests.helpers.tokenizers import write_words
from tests.sut.engines import tiny_llama
from tests.sut.engines.tiny_llama import TinyLlama

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyLlama:
    tiny = tiny_llama.make(tmp_path_factory.mktemp("tiny"))
    from tokenizers import decoders

    words = (f"w{i}" for i in range(tiny_llama.VOCABULARY))
    decoder = decoders.WordPiece(prefix="##", cleanup=False)
    write_words(tiny.folder, words, unknown="w0", decoder=decoder, eos_token=f"w{tiny.eos}")
    return tiny


@pytest.fixture(scope="module")
def url(tiny: TinyLlama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    command = [
        sys.executable,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(tiny.folder),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--dtype",
        "float32",
        "--enforce-eager",
        "--max-model-len",
        "256",
        "--max-num-seqs",
        "16",
        "--no-enable-prefix-caching",
        "--served-model-name",
        "tiny",
    ]
    env = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "OMP_NUM_THREADS": "1"}
    with log.open("w") as out, subprocess.Popen(command, env=env, stdout=out, stderr=out) as server:
        try:
            wait_for(f"http://127.0.0.1:{port}/health", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(30)


def wait_for(health: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 240
    while True:
        assert server.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
        try:
            urllib.request.urlopen(health, timeout=5)
            return
        except OSError:
            time.sleep(0.5)


def answers_of(url: str, tiny: TinyLlama, *, first_tokens: bool, **args: Any) -> tuple[OpenAIEngine, Any, list[Event]]:
    engine = OpenAIEngine(
        EngineSettings(
            name="openai",
            model="tiny",
            max_new_tokens=tiny_llama.MAX_NEW_TOKENS,
            first_tokens=first_tokens,
            args={"url": url, "max_connections": 8, **args},
        )
    )
    try:
        info = engine.load()
        engine.submit([Request(i, np.asarray(p, "<i4").tobytes()) for i, p in enumerate(tiny.prompts)])
        events: list[Event] = []
        while engine.outstanding:
            events += engine.poll(1.0)
    finally:
        engine.close()
    return engine, info, events


def ids(tokens: bytes) -> list[int]:
    return [int(i) for i in np.frombuffer(tokens, "<i4")]


@pytest.mark.parametrize("first_tokens", [True, False])
def test_the_servers_own_token_ids(url: str, tiny: TinyLlama, first_tokens: bool) -> None:
    engine, info, events = answers_of(url, tiny, first_tokens=first_tokens)
    answers = {e.id: ids(e.tokens) for e in events if isinstance(e, Completion)}
    assert [answers[i] for i in range(len(tiny.prompts))] == tiny.answers  # with their EOS
    firsts = {e.id: ids(e.tokens) for e in events if isinstance(e, FirstToken)}
    assert firsts == ({i: a[:1] for i, a in enumerate(tiny.answers)} if first_tokens else {})
    assert info.prefix_caching is False and info.not_submittable == []
    assert info.facts["token_ids"] == "from the server"
    assert info.max_prompt_tokens == 256 - tiny_llama.MAX_NEW_TOKENS
    assert info.version.startswith("0.")
    assert engine.live_facts() == {"requests_asked_again": 0, "token_counts_that_differ": 0}


def test_text_encoded_again(url: str, tiny: TinyLlama) -> None:
    """With a tokenizer whose text encodes back to the same ids, the ids are the same, EOS included."""
    engine, info, events = answers_of(
        url, tiny, first_tokens=True, tokenizer=str(tiny.folder), extra_body={"return_token_ids": False}
    )
    answers = {e.id: ids(e.tokens) for e in events if isinstance(e, Completion)}
    assert [answers[i] for i in range(len(tiny.prompts))] == tiny.answers
    assert engine.live_facts()["token_counts_that_differ"] == 0
    assert len(info.not_submittable) == 1


def test_a_prompt_that_is_too_long_fails_alone(url: str, tiny: TinyLlama) -> None:
    long = TinyLlama(tiny.folder, tiny.eos, [np.full(300, 5, np.int32), tiny.prompts[0]], tiny.answers)
    _, _, events = answers_of(url, long, first_tokens=True)
    assert [e.id for e in events if isinstance(e, Failure)] == [0]
    assert [ids(e.tokens) for e in events if isinstance(e, Completion)] == tiny.answers[:1]
