"""Which prompts a step of vLLM's reads, as far as that needs no vLLM: see :mod:`sut.engines.vllm_steps`."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any


def whole_graph(tokens: int, sizes: Sequence[int]) -> int:
    """The largest of ``sizes`` (ascending) that ``tokens`` fill; ``tokens`` where no graph is for so many."""
    if not sizes or not sizes[0] <= tokens <= sizes[-1]:
        return tokens
    return sizes[bisect_right(sizes, tokens) - 1]


def padding(tokens: int, sizes: Sequence[int]) -> int:
    """Tokens that a step of ``tokens`` is padded with to fill the next of ``sizes`` (ascending); 0 beyond the last."""
    at = bisect_left(sizes, tokens)
    return sizes[at] - tokens if at < len(sizes) else 0


def late_last(waiting: Any, *, before: float) -> None:
    """Put what arrived ``before`` (Unix time) at the end of vLLM's queue (a deque), the first to arrive first; the
    order is kept otherwise.

    A preempted request has begun to answer, so it is not late.
    """
    late = sorted((r for r in waiting if _late(r, before)), key=lambda r: r.arrival_time)
    if late:
        others = [r for r in waiting if not _late(r, before)]
        waiting.clear()
        waiting.extend(others + late)


def _late(request: Any, before: float) -> bool:
    return bool(request.arrival_time < before and not request.num_preemptions)


def warming_up(scheduled: Mapping[str, int]) -> bool:
    """Whether a step is of warm-up requests, whose ids are negative: it may have compiled, or loaded a kernel."""
    return next(iter(scheduled)).startswith("-")
