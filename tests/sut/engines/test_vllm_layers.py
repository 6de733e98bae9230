"""Less work for the same tokens: the last layer where it is needed, the attention of a mixed step in two calls."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip("vllm", reason="vLLM is not installed here (scripts/test.sh uses an environment of its own)")

import torch

from sut import engines
from sut.engines import vllm_attention
from sut.engines.base import Engine
from sut.messages import Completion, EngineSettings, Request
from tests.sut.engines import tiny_llama
from tests.sut.engines.tiny_llama import TinyLlama

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]

# Steps of 64 tokens: prompts of up to 113 are read in chunks, beside sequences that decode.
ARGS = {"dtype": "float32", "enforce_eager": True, "max_num_seqs": 16, "max_model_len": 256}
ARGS |= {"max_num_batched_tokens": 64, "step_log": True}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyLlama:
    return tiny_llama.make(tmp_path_factory.mktemp("tiny"))


def answers(engine: Engine, prompts: list[Any]) -> list[list[int]]:
    engine.submit([Request(i, np.asarray(p, dtype="<i4").tobytes()) for i, p in enumerate(prompts)])
    found: dict[int, list[int]] = {}
    deadline = time.monotonic() + 120
    while engine.outstanding:
        assert time.monotonic() < deadline
        for event in engine.poll(1.0):
            if isinstance(event, Completion):
                found[event.id] = np.frombuffer(event.tokens, dtype="<i4").tolist()
    return [found[i] for i in range(len(prompts))]


@pytest.mark.parametrize(
    ("args", "model"),
    [
        ({"last_layer": "needed", "multiprocessing": True}, "LastLayerLlamaForCausalLM"),
        ({"mixed_attention": "apart", "multiprocessing": True}, "LlamaForCausalLM"),
        ({"last_layer": "needed", "mixed_attention": "apart"}, "LastLayerLlamaForCausalLM"),
    ],
    ids=["last-layer", "apart", "both-in-process"],
)
def test_the_tokens_are_the_same(tiny: TinyLlama, args: dict[str, Any], model: str) -> None:
    settings = EngineSettings(
        name="vllm", model=str(tiny.folder), max_new_tokens=tiny_llama.MAX_NEW_TOKENS, args={**ARGS, **args}
    )
    engine = engines.create(settings)
    try:
        info = engine.load()
        assert answers(engine, tiny.prompts) == tiny.answers
        assert set(engine.live_facts()["steps"]) >= {"decode", "<=128"}
    finally:
        engine.close()
    assert info.facts["model_class"] == model
    assert info.facts["last_layer"] == args.get("last_layer", "all")
    assert info.facts["mixed_attention"] == args.get("mixed_attention", "together")


@pytest.mark.parametrize("interval", [1, 3])
def test_steps_are_held_and_the_tokens_are_the_same(tiny: TinyLlama, interval: int) -> None:
    """A step time that no step can keep: each has the fewest prompt tokens. Every prompt is late."""
    settings = EngineSettings(
        name="vllm",
        model=str(tiny.folder),
        max_new_tokens=tiny_llama.MAX_NEW_TOKENS,
        args={
            **ARGS,
            "max_num_batched_tokens": 1024,
            "step_log": False,
            "step_time_ms": 1e-3,
            "step_times": {"a_ms": 1.0, "c_us": 10.0, "p_us": 10.0},
            "late_after_ms": 1e-3,
            "prefill_schedule_interval": interval,
        },
    )
    engine = engines.create(settings)
    try:
        info = engine.load()
        for _ in range(8):
            assert answers(engine, tiny.prompts) == tiny.answers
        facts = engine.live_facts()
    finally:
        engine.close()
    assert (info.facts["step_time_ms"], info.facts["late_after_ms"]) == (1e-3, 1e-3)
    assert info.facts["prefill_schedule_interval"] == interval
    assert facts["launches"]["with prompts"]["mean_ms"] > 0
    assert set(info.facts["start_s"]) >= {"import", "configuration", "weights", "cuda graphs", "rest"}
    assert sum(k["count"] for k in facts["steps"].values()) > 100


class _Common:
    """Two sequences that decode, then prompts of 3 and 2 tokens."""

    num_reqs = 4
    query_start_loc_cpu = torch.tensor([0, 1, 2, 5, 7])


def test_the_sequences_that_decode_lead_the_batch() -> None:
    assert vllm_attention.leading_decodes(_Common) == 2
