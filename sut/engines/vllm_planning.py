"""Which prompts a step of vLLM's reads, as far as that needs no vLLM: see :mod:`sut.engines.vllm_steps`."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from sut.steps import StepTimes

# Prompt tokens that any step may have: an engine full of decoding sequences must not stop reading.
FEWEST_PROMPT_TOKENS = 256


def prompts_rest(*, decoding: int, since: int, interval: int) -> bool:
    """Whether a step beside ``decoding`` sequences reads no prompts: of ``interval`` steps one does, and ``since`` is
    how many have passed after the last that did."""
    return bool(decoding) and since < interval - 1


def prompts_within(times: StepTimes, *, held_ms: float, decoding: int, interval: int) -> float:
    """How long, ms, a step that reads prompts may take, so that ``interval`` steps, of which it is the only one that
    does, take ``held_ms`` each on average."""
    return interval * held_ms - (interval - 1) * times.step_ms(decoding=decoding, prompt_tokens=0)


def held_budget(times: StepTimes, *, within_ms: float, decoding: int, largest: int, graphs: Sequence[int]) -> int:
    """Tokens of a step that shall take ``within_ms``: one for each sequence that decodes, and the prompts that the time
    has room for; at most ``largest``.

    Padding takes as long as prompts do, so it ends at one of ``graphs`` (ascending), unless that left too few prompt
    tokens, or not even those of the sequences.
    """
    room = int(times.prompt_tokens(within_ms=within_ms, decoding=decoding))
    tokens = min(decoding + max(room, FEWEST_PROMPT_TOKENS), largest)
    fitting = whole_graph(tokens, graphs)
    return fitting if fitting >= min(decoding + FEWEST_PROMPT_TOKENS // 2, largest) else tokens


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
