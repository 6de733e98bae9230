"""The record of an engine's steps on its way from vLLM's core process to the worker's report. Needs no vLLM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from mlperf_llama_base import typed
from sut.steps import StepSums

FILE = "steps"
# Environment variables of vLLM's core process: the length to hold steps to, what one takes as far as that is known
# beforehand (JSON of StepTimes), and when a prompt has waited too long.
STEP_TIME, KNOWN_TIMES = "MLPERF_LLAMA_STEP_TIME_MS", "MLPERF_LLAMA_STEP_TIMES"
LATE_AFTER = "MLPERF_LLAMA_LATE_AFTER_MS"
# Upper ends of the classes, in tokens of a step. Steps in which every request decodes are a class of their own.
EDGES = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)


class StepLog(msgspec.Struct, kw_only=True):
    """``kinds``: count, seconds, tokens and requests of each class of steps, summed. ``sums``: :class:`StepSums`."""

    kinds: dict[str, list[float]] = {}
    sums: list[float] = []
    ignored: int = 0


def kind(tokens: int, requests: int) -> str:
    """Name the class of a step: ``decode``, or the largest number of tokens of its class."""
    if tokens == requests:
        return "decode"
    return f"<={next((edge for edge in EDGES if tokens <= edge), tokens)}"


def count_step(kinds: dict[str, list[float]], *, seconds: float, tokens: int, requests: int) -> None:
    """Add a step to its class."""
    sums = kinds.setdefault(kind(tokens, requests), [0, 0.0, 0, 0])
    for i, value in enumerate((1, seconds, tokens, requests)):
        sums[i] += value


def read(folder: Path) -> StepLog:
    """Return what the scheduler has published in ``folder``; empty before the first step."""
    try:
        return typed.from_json((folder / FILE).read_bytes(), StepLog)
    except (OSError, msgspec.DecodeError):
        return StepLog()


def facts(log: StepLog, before: StepLog) -> dict[str, Any]:
    """What happened since ``before``: ``steps``, count and means of each class; ``step_times``, the regression's sums
    (they add up over workers) and, where the steps tell it, :class:`sut.steps.StepTimes`.
    """
    kinds = {}
    for name, now in log.kinds.items():
        then = before.kinds.get(name, [0.0] * 4)
        count, seconds, tokens, requests = (a - b for a, b in zip(now, then, strict=True))
        if count:
            kinds[name] = {
                "count": int(count),
                "mean_ms": round(1e3 * seconds / count, 3),
                "mean_tokens": round(tokens / count, 3),
                "mean_requests": round(requests / count, 3),
            }
    sums = StepSums(log.sums, ignored=log.ignored) - StepSums(before.sums, ignored=before.ignored)
    fitted = sums.fit()
    return {
        "steps": kinds,
        "step_sums": sums.values.tolist(),
        "steps_ignored": sums.ignored,
        "step_times": msgspec.to_builtins(fitted) if fitted else None,
    }
