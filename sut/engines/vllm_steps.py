"""How long the engine's steps take, by what is in them: ``engine.args.step_log=true``.

A step that decodes only should take what memory bandwidth allows, a step with prompts what the products take; one that
takes much longer waits for its launches (no CUDA graph of that size) or for the scheduler. The counts are in
``engine_live_facts`` of result.json. Off by default: it puts a class of ours in the place of vLLM's scheduler.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler

from sut.engines.vllm_probe import STATE, publish

FILE = "steps"
INTERVAL_S = 0.5
# Upper ends of the classes, in tokens of a step. Steps in which every request decodes are a class of their own.
EDGES = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)


def kind(tokens: int, requests: int) -> str:
    """Name the class of a step: ``decode``, or the largest number of tokens of its class."""
    if tokens == requests:
        return "decode"
    return f"<={next((edge for edge in EDGES if tokens <= edge), tokens)}"


class _Steps:
    """Mixed in before vLLM's scheduler."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._began: dict[int, float] = {}
        self._ended = self._published = 0.0
        self._kinds: dict[str, list[float]] = {}

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        step = super().schedule(*args, **kwargs)  # type: ignore[misc]
        self._began[id(step)] = time.perf_counter()
        return step

    def update_from_output(self, scheduler_output: Any, model_runner_output: Any) -> Any:
        now = time.perf_counter()
        # with async scheduling a step is planned while the one before it runs: it begins when that one ends
        began = max(self._ended, self._began.pop(id(scheduler_output), now))
        self._ended = now
        if tokens := scheduler_output.total_num_scheduled_tokens:
            requests = len(scheduler_output.num_scheduled_tokens)
            sums = self._kinds.setdefault(kind(tokens, requests), [0, 0.0, 0, 0])
            for i, value in enumerate((1, now - began, tokens, requests)):
                sums[i] += value
        outputs = super().update_from_output(scheduler_output, model_runner_output)  # type: ignore[misc]
        if now - self._published > INTERVAL_S or not self.has_unfinished_requests():  # type: ignore[attr-defined]
            publish(Path(os.environ[STATE]) / FILE, self._kinds)
            self._published = now
        return outputs


class Steps(_Steps, Scheduler):  # type: ignore[misc]
    """vLLM's scheduler, with a record of its steps."""


class AsyncSteps(_Steps, AsyncScheduler):  # type: ignore[misc]
    """vLLM's asynchronous scheduler, with a record of its steps."""


def read(folder: Path) -> dict[str, list[float]]:
    """Return the sums of each class of steps: count, seconds, tokens, requests; empty before the first step."""
    try:
        sums: dict[str, list[float]] = json.loads((folder / FILE).read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return sums


def summary(sums: dict[str, list[float]], before: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return count and means of each class of steps since ``before``."""
    found = {}
    for name, now in sums.items():
        count, seconds, tokens, requests = (a - b for a, b in zip(now, before.get(name, [0.0] * 4), strict=True))
        if count:
            found[name] = {
                "count": int(count),
                "mean_ms": round(1e3 * seconds / count, 3),
                "mean_tokens": round(tokens / count, 3),
                "mean_requests": round(requests / count, 3),
            }
    return found
