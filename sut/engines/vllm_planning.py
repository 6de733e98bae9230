"""Which prompts a step of vLLM's reads, as far as that needs no vLLM: see :mod:`sut.engines.vllm_steps`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any


def whole_graph(tokens: int, sizes: Sequence[int]) -> int:
    """The largest of ``sizes`` (ascending) that ``tokens`` fill; ``tokens`` where no graph is for so many."""
    if not sizes or not sizes[0] <= tokens <= sizes[-1]:
        return tokens
    return sizes[bisect_right(sizes, tokens) - 1]


def late_last(waiting: Any, *, before: float) -> None:
    """Put what arrived ``before`` (Unix time) at the end of vLLM's queue (a deque); the order is kept otherwise.

    A preempted request has begun to answer, so it is not late.
    """
    late = [r for r in waiting if r.arrival_time < before and not r.num_preemptions]
    if late and len(late) < len(waiting):
        others = [r for r in waiting if r.arrival_time >= before or r.num_preemptions]
        waiting.clear()
        waiting.extend(others + late)


def warming_up(scheduled: Mapping[str, int]) -> bool:
    """Whether a step is of warm-up requests, whose ids are negative: it may have compiled, or loaded a kernel."""
    return next(iter(scheduled)).startswith("-")
