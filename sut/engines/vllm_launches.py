"""How long vLLM's worker takes to launch a step: Python's time, in which the GPU may wait.

A step that only decodes is one CUDA graph. One with prompts is a graph for each layer with attention launched between
them, and on a slow host that takes longer than the step's computation: then it takes the same time however little it
reads. Kept since the engine's start, without warm-up; ``launches`` in ``engine_live_facts``.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from sut.engines.vllm_planning import warming_up
from sut.engines.vllm_start import MODULES

DECODE, MIXED = "decode", "with prompts"

sums: dict[str, list[float]] = {}  # kind of step -> count, seconds


def watch() -> None:
    """Time ``execute_model`` of vLLM's worker classes, as far as they are imported in this process, into ``sums``."""
    for module in MODULES:
        for thing in list(vars(sys.modules.get(module, object)).values()):
            plain = vars(thing).get("execute_model") if isinstance(thing, type) and thing.__module__ == module else None
            if plain is not None and not hasattr(plain, "mlperf_llama"):
                thing.execute_model = _timed(plain)


def _timed(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def timed(self: Any, scheduler_output: Any, *args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        result = method(self, scheduler_output, *args, **kwargs)
        scheduled = scheduler_output.num_scheduled_tokens
        if scheduled and not warming_up(scheduled):
            alone = scheduler_output.total_num_scheduled_tokens == len(scheduled)
            of_kind = sums.setdefault(DECODE if alone else MIXED, [0, 0.0])
            of_kind[0] += 1
            of_kind[1] += time.perf_counter() - began
        return result

    timed.mlperf_llama = True  # type: ignore[attr-defined]
    return timed


def facts(of_workers: Iterable[dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    """Count and mean by kind of step, over all of the engine's processes."""
    total: dict[str, list[float]] = {}
    for kinds in of_workers:
        for kind, (count, seconds) in kinds.items():
            of_kind = total.setdefault(kind, [0, 0.0])
            of_kind[0] += count
            of_kind[1] += seconds
    return {
        kind: {"count": int(count), "mean_ms": round(1e3 * seconds / count, 3)}
        for kind, (count, seconds) in total.items()
    }
