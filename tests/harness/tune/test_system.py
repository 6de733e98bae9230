"""What the tuner takes from a session's engines to play them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from harness.config import build
from harness.tune.model import new, player
from harness.tune.system import engines_of
from sut.steps import StepTimes


def session(facts: dict[str, Any]) -> Any:
    engine = SimpleNamespace(facts=facts, capacity=850)
    hub = SimpleNamespace(engine=engine, ready=2)
    return SimpleNamespace(hub=hub, config=build({"output": "x"}), lengths=np.array([700, 900]))


def test_what_shapes_a_step_reaches_the_player() -> None:
    facts = {
        "max_num_batched_tokens": 5376,
        "step_time_ms": 97.0,
        "late_after_ms": 1700.0,
        "prefill_schedule_interval": 2,
        "cudagraph_sizes": [64, 8, 1],
        "kv_cache_tokens": 0,
    }
    engines = engines_of(session(facts))
    made = player(new(engines, StepTimes(a_ms=5, c_us=36, p_us=12, launch_ms=17), outputs=np.array([128])))
    assert (engines.workers, made.prefill_schedule_interval) == (2, 2)
    assert (made.max_num_seqs, made.max_num_batched_tokens) == (850, 5376)
    assert (made.held_ms, made.late_after_ms, made.graphs, made.launch_ms) == (97.0, 1700.0, (1, 8, 64), 17)


def test_an_engine_that_says_little_is_three_numbers() -> None:
    made = player(new(engines_of(session({})), StepTimes(a_ms=5, c_us=36, p_us=12), outputs=np.array([128])))
    assert (made.held_ms, made.late_after_ms, made.graphs, made.launch_ms) == (None, None, (), 0.0)
    assert made.prefill_schedule_interval == 1
