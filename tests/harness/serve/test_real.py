"""A real Llama, small and random, on transformers, behind the endpoint: its tokens are those of ``generate``."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.serve import tokenizers
from tests.harness.serve.client import Endpoint, serving
from tests.helpers.command import command, settings
from tests.helpers.llama import write_llama
from tests.helpers.rows import rows, write_rows
from tests.helpers.waiting import until

pytestmark = pytest.mark.timeout(400)  # loads torch and transformers, several times
TOKENS = 24


@dataclass
class Llama:
    folder: Path
    tokenizer: Any
    prompts: list[list[int]]
    answers: list[list[int]]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Llama:
    """Its EOS is a token that some answers hold, so that they end early."""
    import torch

    folder = tmp_path_factory.mktemp("llama") / "tiny"
    tokenizer = tokenizers.make(folder)
    model = write_llama(
        folder, vocab_size=len(tokenizer), max_position_embeddings=2048, bos_token_id=0, eos_token_id=None
    )
    prompts = [row["tok_input"] for row in rows(10, vocabulary=len(tokenizer))]
    answers = []
    for prompt in prompts:
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            made = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=False, pad_token_id=0
            )
        answers.append(made[0, len(prompt) :].tolist())
    eos = answers[0][9]
    for name in ("config.json", "generation_config.json"):
        tree = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(tree | {"eos_token_id": eos}))
    return Llama(folder, tokenizer, prompts, [a[: a.index(eos) + 1] if eos in a[1:] else a for a in answers])


@pytest.fixture(scope="module")
def server(llama: Llama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    pairs = (
        f"engine.max_new_tokens={TOKENS}",
        "engine.device=cpu",
        "workers.warm_up_prompts=1",
        "workers.heartbeat_s=0.2",
    )
    options: tuple[str | Path, ...] = ("--engine", "transformers", "--model", llama.folder, *settings(*pairs))
    with serving(tmp_path_factory.mktemp("real"), *options, "--workers", "2", env={"OMP_NUM_THREADS": "1"}) as endpoint:
        yield endpoint


def test_text_and_ids_are_the_models(server: Endpoint, llama: Llama) -> None:
    assert server.ask("/v1/models").json["data"][0]["max_model_len"] == 2048
    with ThreadPoolExecutor(max_workers=10) as pool:
        ask = {"return_token_ids": True, "stream": True, "stream_options": {"include_usage": True}}
        streams = list(pool.map(lambda prompt: server.complete(prompt, **ask), llama.prompts))
        wholes = list(pool.map(lambda prompt: server.complete(prompt), llama.prompts))
    for expected, stream, whole in zip(llama.answers, streams, wholes, strict=True):
        text = llama.tokenizer.decode(expected, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert stream.done and stream.ids == expected and stream.text == text
        assert (
            stream.events[-1]["usage"]["completion_tokens"] == whole.json["usage"]["completion_tokens"] == len(expected)
        )
        choice = whole.json["choices"][0]
        assert choice["text"] == text
        assert choice["finish_reason"] == ("length" if len(expected) == TOKENS else "stop")
    assert any(len(answer) < TOKENS for answer in llama.answers)
    longer = server.complete(llama.prompts[0], max_tokens=60, ignore_eos=True, return_token_ids=True).json["choices"][0]
    assert len(longer["token_ids"]) == 60
    refused = server.complete(llama.prompts[0], max_tokens=2048)
    assert refused.status == 400 and refused.json["error"]["param"] == "max_tokens"


def test_loadgen_at_both_ends_gives_the_same_tokens(server: Endpoint, llama: Llama, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "data.json", rows(10, vocabulary=len(llama.tokenizer)))
    pairs = (
        f"engine.args.url=http://127.0.0.1:{server.port}",
        f"engine.max_new_tokens={TOKENS}",
        "monitor.enabled=false",
    )
    run = ("run", "--engine", "openai", "--model", llama.folder, "--dataset", data, "--output", tmp_path / "run")
    options = ("--scenario", "server", "--mode", "accuracy", "--target-qps", "50", "--skip-preflight")
    done = command(*run, *options, *settings(*pairs))
    assert done.code in (0, 1), done.err
    logged = json.loads((tmp_path / "run" / "mlperf_log_accuracy.json").read_text())
    assert len(logged) == 10, done.err
    for entry in logged:
        assert np.frombuffer(bytes.fromhex(entry["data"]), "<i4").tolist() == llama.answers[entry["qsl_idx"]]
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["valid"], result["invalid_reasons"]


def test_a_worker_that_dies_in_the_middle_leaves_no_trace_in_the_text(server: Endpoint, llama: Llama) -> None:
    """The rest comes from another worker, which reads what has been said already as part of the prompt."""
    most = 1500
    ask = {"max_tokens": most, "ignore_eos": True, "return_token_ids": True}
    expected = server.complete(llama.prompts[1], **ask).json["choices"][0]["token_ids"]
    with ThreadPoolExecutor(max_workers=2) as pool:
        two = [pool.submit(server.complete, llama.prompts[1], **ask, stream=True) for _ in range(2)]
        until(lambda: server.metric("mlperf_llama_running") == 2)
        time.sleep(0.3)
        server.process.family("sut.workers.main")[0].send_signal(signal.SIGKILL)
        for answer in (future.result(300) for future in two):
            assert answer.done and answer.ids == expected
    assert server.metric("mlperf_llama_retries_total") == 1
