"""How long the engine's steps take, by what is in them, and steps that are held to a length.

``engine.args.step_log=true`` records: a step that decodes only should take what memory bandwidth allows, a step with
prompts what the products take; one that takes much longer waits for its launches (no CUDA graph of that size) or for
the scheduler. ``engine.args.step_time_ms=28.5`` holds: prompts wait where reading them would make a step longer, so
that a burst of arrivals does not slow down every sequence that decodes. ``engine.args.late_after_ms=410`` lets a prompt
that has waited so long (its first token is too late in any case) wait on until no other does, so that one burst does
not make all that come after it late too. ``engine.args.prefill_schedule_interval=2`` (vLLM's own argument, which by
itself concerns data parallelism alone) reads prompts in one step of two only: launching a step with prompts takes its
host a length of its own, which then is paid half as often, for twice the prompts. Each puts a class of ours in the
place of vLLM's scheduler. What was found is in ``engine_live_facts`` of result.json.

vLLM copies ``max_num_scheduled_tokens`` into a step's budget at the head of each ``schedule()`` and serves the running
requests first, so the length of a step is set by writing that attribute before. A step is padded to the size of its
CUDA graph, so one that is held ends at such a size: padding takes as long as prompt tokens do.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler

from mlperf_llama_base import typed
from sut.engines.vllm_args import INTERVAL
from sut.engines.vllm_planning import held_budget, late_last, padding, prompts_rest, prompts_within, warming_up
from sut.engines.vllm_probe import STATE, publish
from sut.engines.vllm_step_log import FILE, KNOWN_TIMES, LATE_AFTER, STEP_TIME, count_step
from sut.steps import Regression, StepTimes

INTERVAL_S = 0.5
NEAR = 0.8  # of the length to hold steps to: shorter ones say nothing of those that are held


class _Steps:
    """Mixed in before vLLM's scheduler."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._began: dict[int, float] = {}
        self._ended = self._published = 0.0
        self._kinds: dict[str, list[float]] = {}
        # not in additional_config, which vLLM hashes into the names of its compiled graphs
        self.step_time_ms = _variable(STEP_TIME)
        self._regression = Regression(known_times(), near_ms=NEAR * (self.step_time_ms or 0.0))
        self.late_after_ms = _variable(LATE_AFTER)
        compilation = self.vllm_config.compilation_config  # type: ignore[attr-defined]
        self._graphs = sorted(compilation.cudagraph_capture_sizes or ())
        self._largest = self.max_num_scheduled_tokens
        self.interval = int(getattr(self.scheduler_config, INTERVAL, 1))  # type: ignore[attr-defined]
        self._since = self.interval  # steps after the last that read prompts

    def schedule(self, *args: Any, **kwargs: Any) -> Any:
        decoding = sum(r.num_computed_tokens >= r.num_prompt_tokens for r in self.running)  # type: ignore[attr-defined]
        self.max_num_scheduled_tokens = self._budget(decoding)
        if self.late_after_ms is not None:
            late_last(self.waiting, before=time.time() - self.late_after_ms / 1e3)  # type: ignore[attr-defined]
        if prompts_rest(decoding=decoding, since=self._since, interval=self.interval):
            self.prefill_capacity_bound = False  # vLLM reads on, whatever is asked, while prompts are left over
            args, kwargs = (), {"throttle_prefills": True}
        step = super().schedule(*args, **kwargs)  # type: ignore[misc]
        self._since += 1
        if step.total_num_scheduled_tokens > len(step.num_scheduled_tokens):
            self._since = 0
        self._began[id(step)] = time.perf_counter()
        return step

    def _budget(self, decoding: int) -> int:
        """Tokens of the next step."""
        times = self._regression.times
        if self.step_time_ms is None or times is None:
            return self._largest
        held_ms = self.step_time_ms / self._regression.drift
        within_ms = prompts_within(times, held_ms=held_ms, decoding=decoding, interval=self.interval)
        self._regression.near_ms = NEAR * within_ms
        return held_budget(times, within_ms=within_ms, decoding=decoding, largest=self._largest, graphs=self._graphs)

    def update_from_output(self, scheduler_output: Any, model_runner_output: Any) -> Any:
        now = time.perf_counter()
        # with async scheduling a step is planned while the one before it runs: it begins when that one ends
        began = max(self._ended, self._began.pop(id(scheduler_output), now))
        self._ended = now
        if scheduler_output.total_num_scheduled_tokens and not warming_up(scheduler_output.num_scheduled_tokens):
            self._count(now - began, scheduler_output.num_scheduled_tokens)
        outputs = super().update_from_output(scheduler_output, model_runner_output)  # type: ignore[misc]
        if now - self._published > INTERVAL_S or not self.has_unfinished_requests():  # type: ignore[attr-defined]
            found = {
                "kinds": self._kinds,
                "sums": self._regression.sums.values.tolist(),
                "ignored": self._regression.sums.ignored,
            }
            publish(Path(os.environ[STATE]) / FILE, found)
            self._published = now
        return outputs

    def _count(self, seconds: float, scheduled: dict[str, int]) -> None:
        """``scheduled``: tokens of each request in the step; one is a decoding sequence's, more are a prompt's."""
        tokens = sum(scheduled.values())
        count_step(self._kinds, seconds=seconds, tokens=tokens, requests=len(scheduled))
        decoding = sum(n == 1 for n in scheduled.values())
        pad = padding(tokens, self._graphs)
        self._regression.add(1e3 * seconds, decoding=decoding, prompt_tokens=tokens - decoding, padding=pad)


def known_times() -> StepTimes | None:
    text = os.environ.get(KNOWN_TIMES)
    return None if text is None else typed.from_json(text, StepTimes)


def _variable(name: str) -> float | None:
    return float(os.environ[name]) if name in os.environ else None


class Steps(_Steps, Scheduler):  # type: ignore[misc]
    """vLLM's scheduler, with a record of its steps."""


class AsyncSteps(_Steps, AsyncScheduler):  # type: ignore[misc]
    """vLLM's asynchronous scheduler, with a record of its steps."""
