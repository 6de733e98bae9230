"""A fake engine of known speed: it measures the harness and lets faults be tested. Its results are never submittable.

Without ``args`` it answers at once. With ``step_ms`` it keeps time like a continuous-batching engine: a step takes
``step_ms + sequence_us * running / 1000 + prefill_us * prefill_tokens / 1000`` milliseconds, admits waiting prompts
up to ``max_num_seqs`` and ``max_num_batched_tokens``, and gives every running sequence one token. The answer to a
prompt is its own first ``output_tokens - 1`` ids (repeated as needed) and an EOS, so it depends on the prompt alone.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from pydantic import Field, field_validator

from mlperf_llama_base.errors import EnvironmentFault
from sut.engines import vllm_step_log
from sut.engines.base import Engine
from sut.engines.facts import Arguments, EngineFacts, ModelUse, parse
from sut.messages import (
    HONOURS,
    Completion,
    EngineInfo,
    EngineSettings,
    Event,
    Failure,
    FirstToken,
    Limits,
    RawArguments,
    Request,
    Tokens,
)
from sut.steps import Regression

AT_SAMPLE = ("raise", "hang", "exit", "fail", "empty", "twice", "garbage")
AT_LOAD = ("oom", "exit")


class NullArguments(Arguments):
    """``engine.args`` of the null engine."""

    output_tokens: int = Field(128, ge=1, description="Tokens of an answer, EOS included")
    max_num_seqs: int = Field(512, ge=1, description="Sequences that run at once")
    max_num_batched_tokens: int = Field(8192, ge=1, description="Tokens of one step")
    step_ms: float = Field(0.0, ge=0, description="Milliseconds of a step; 0: answer at once")
    sequence_us: float = Field(0.0, ge=0, description="Microseconds that each running sequence adds to a step")
    prefill_us: float = Field(0.0, ge=0, description="Microseconds that each token of a new prompt adds to a step")
    step_log: bool = Field(False, description="Tell what the steps took, as vLLM's step_log does (with step_ms)")
    load_s: float = Field(0.0, ge=0, description="Seconds that loading takes")
    eos_token_id: int = Field(128009, ge=0, description="The last token of every answer")
    vocab_size: int = Field(128256, ge=1, description="Reported, not enforced")
    fault: str = Field(
        "", description=f"Injected at the N-th sample: NAME@N of {', '.join(AT_SAMPLE)}; at load: oom@0, exit@0"
    )
    fault_worker: int | None = Field(None, description="Only this worker has the fault; none: all")
    slow_worker: int | None = Field(None, description="Every step of this worker takes slow_factor times as long")
    slow_factor: float = Field(10.0, gt=0, description="See slow_worker")

    @field_validator("fault")
    @classmethod
    def _known_fault(cls, value: str) -> str:
        name, _, at = value.partition("@")
        if value and not (at.isdecimal() and name in (AT_SAMPLE if int(at) else AT_LOAD)):
            raise ValueError(f"expected NAME@N with NAME of {', '.join(AT_SAMPLE)}, or oom@0 or exit@0")
        return value


class NullFacts(EngineFacts):
    """Every answer ends with the same id."""

    def largest_answer_id(self, args: RawArguments) -> int | None:
        value = args.get("eos_token_id", NullArguments.model_fields["eos_token_id"].default)
        return value if isinstance(value, int) else None


class NullEngine(Engine):
    """See the module."""

    facts = NullFacts(
        model=ModelUse.NONE,
        uses_gpu=False,
        arguments=NullArguments,
        not_submittable=("the null engine runs no model",),
    )
    concurrent = True

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self.args = args = parse(NullArguments, settings)
        self._eos = args.eos_token_id.to_bytes(4, "little")
        self._n = min(args.output_tokens, settings.max_new_tokens)
        self._changed = threading.Condition()
        self._waiting: deque[Request] = deque()
        self._refused: list[Event] = []
        self._running = 0
        self._finishing: dict[int, list[Request]] = {}  # step number -> those that end with it
        self._streams: dict[int, list[Any]] = {}  # request -> its answer, and how many of its bytes were reported
        self._cancelled: set[int] = set()
        self._step = 0
        self._step_ends = self._stepped = 0.0
        self._steps_taken = Regression()
        self._seen = 0
        self._fault, _, at = args.fault.partition("@")
        self._fault_at = int(at or 0)
        worker = os.environ.get("MLPERF_LLAMA_WORKER_ID")
        if args.fault_worker is not None and worker != str(args.fault_worker):
            self._fault = ""
        slow = args.slow_worker is not None and worker == str(args.slow_worker)
        self._slowness = args.slow_factor if slow else 1.0

    def load(self) -> EngineInfo:
        if self._fault == "oom":
            raise EnvironmentFault("null engine: out of memory (injected): lower engine.args.max_num_seqs")
        if self._fault == "exit" and self._fault_at == 0:
            os._exit(9)
        time.sleep(self.args.load_s)
        return EngineInfo(
            name="null",
            version="1",
            capacity=self.args.max_num_seqs,
            eos_token_ids=[self.args.eos_token_id],
            vocab_size=self.args.vocab_size,
            weight_dtype="none",
            kv_cache_dtype="none",
            facts={"args": self.args.model_dump()},
            not_submittable=list(self.facts.not_submittable),
            honours=list(HONOURS),
        )

    @property
    def outstanding(self) -> int:
        return len(self._waiting) + self._running + len(self._refused)

    @property
    def running(self) -> int:
        return self._running

    def submit(self, requests: Sequence[Request]) -> None:
        with self._changed:
            self._waiting.extend(r for r in requests if r.tokens)
            self._refused.extend(Failure(r.id, "the prompt is empty") for r in requests if not r.tokens)
            self._changed.notify()

    def cancel(self, ids: Sequence[int]) -> None:
        with self._changed:
            self._cancelled.update(ids)

    def poll(self, timeout_s: float) -> list[Event]:
        with self._changed:
            if not self.outstanding and not self._changed.wait_for(lambda: self.outstanding, timeout_s):
                return []
            refused, self._refused = self._refused, []
            if self._cancelled:
                refused += self._end_cancelled()
        return refused + (self._advance() if self.args.step_ms else self._answer_at_once())

    def _answer_at_once(self) -> list[Event]:
        events: list[Event] = []
        while self._waiting:
            self._finish(self._waiting.popleft(), events, first=True)
        return events

    def _advance(self) -> list[Event]:
        """Run one step: admit, sleep for its length, deliver."""
        budget = self.args.max_num_batched_tokens - self._running
        admitted: list[Request] = []
        prefill = 0
        while self._waiting and self._running < self.args.max_num_seqs:
            length = len(self._waiting[0].tokens) // 4
            if admitted and prefill + length > budget:
                break
            prefill += length
            admitted.append(self._waiting.popleft())
            self._running += 1
        self._step += 1
        self.steps = self._step
        self.generated += self._running
        for request in admitted:
            self._finishing.setdefault(self._step + self._length(request) - 1, []).append(request)
        step_us = self.args.sequence_us * self._running + self.args.prefill_us * prefill
        length_s = (self.args.step_ms + step_us / 1e3) / 1e3 * self._slowness
        now = began = time.perf_counter()
        # counted from the end of the last step, so that the sleeps' lateness does not add up
        self._step_ends = (self._step_ends if now - self._step_ends < 0.05 else now) + length_s
        time.sleep(max(0.0, self._step_ends - now))
        if self.args.step_log:
            self._count(began, decoding=self._running - len(admitted), prompt_tokens=prefill)
        events: list[Event] = []
        for request_id, stream in self._streams.items():
            answer, at = stream
            stream[1] = at + 4
            if at + 4 < len(answer):  # the last token comes with the completion
                events.append(Tokens(request_id, answer[at : at + 4]))
        if self.settings.first_tokens:
            events += [FirstToken(r.id, self._first(r)) for r in admitted]
        for request in admitted:
            if request.limits is not None and request.limits.stream:
                self._streams[request.id] = [self._answer(request), 4]
        for request in self._finishing.pop(self._step, []):
            self._running -= 1
            self._finish(request, events, first=False)
        return events

    def _end_cancelled(self) -> list[Event]:
        cancelled, self._cancelled = self._cancelled, set()
        running = [r for requests in self._finishing.values() for r in requests if r.id in cancelled]
        waiting = [r for r in self._waiting if r.id in cancelled]
        for requests in (*self._finishing.values(), self._waiting):
            for request in [r for r in requests if r.id in cancelled]:
                requests.remove(request)
        for request in running:
            self._streams.pop(request.id, None)
        self._running -= len(running)
        return [Failure(r.id, "cancelled") for r in running + waiting]

    def _first(self, request: Request) -> bytes:
        if request.limits is not None:
            return self._answer(request)[:4]
        return request.tokens[:4] if self._n > 1 else self._eos

    def _length(self, request: Request) -> int:
        return self._n if request.limits is None else self._n_of(request.limits)

    def _n_of(self, limits: Limits) -> int:
        """Tokens that are still to come: an answer of ``output_tokens``, unless its end is to be ignored."""
        own = limits.max_tokens if limits.ignore_eos else self.args.output_tokens - limits.resumed
        return max(1, min(limits.max_tokens, max(own, limits.min_tokens)))

    def _answer(self, request: Request) -> bytes:
        """Ids of the answer (what is left of it, where another worker began it), as the module says."""
        limits, prompt = request.limits, request.tokens
        before = 0
        if limits is not None:
            before = 4 * limits.resumed
            prompt = prompt[: len(prompt) - before]
        need = before + 4 * self._length(request)
        ends = limits is None or not (limits.ignore_eos or need < 4 * self.args.output_tokens)
        if ends:
            need -= 4
        body = prompt[:need] if need <= len(prompt) else (prompt * (need // len(prompt) + 1))[:need]
        return body[before:] + (self._eos if ends else b"")

    def _count(self, began: float, *, decoding: int, prompt_tokens: int) -> None:
        """Record a step: from the end of the one before it, unless there was nothing to do then."""
        now = time.perf_counter()
        began, self._stepped = (self._stepped if began - self._stepped < 1e-3 else began), now
        self._steps_taken.add(1e3 * (now - began), decoding=decoding, prompt_tokens=prompt_tokens)

    def live_facts(self) -> dict[str, Any]:
        if not self.args.step_log:
            return {}
        sums = self._steps_taken.sums
        return vllm_step_log.facts(
            vllm_step_log.StepLog(sums=sums.values.tolist(), ignored=sums.ignored), vllm_step_log.StepLog()
        )

    def _finish(self, request: Request, events: list[Event], *, first: bool) -> None:
        answer = self._answer(request)
        self._streams.pop(request.id, None)
        if first and self.settings.first_tokens:
            events.append(FirstToken(request.id, answer[:4]))
        events.append(Completion(request.id, answer))
        if request.id >= 0:
            self._seen += 1
            if self._fault and self._seen == self._fault_at:
                self._inject(request, events)

    def _inject(self, request: Request, events: list[Event]) -> None:
        completion = events[-1]
        if self._fault == "raise":
            raise RuntimeError("injected: the engine broke")
        if self._fault == "exit":
            os._exit(9)
        if self._fault == "hang":
            events.clear()
            time.sleep(3600)
        if self._fault == "twice":
            events.append(completion)
            return
        replaced: dict[str, Event] = {
            "fail": Failure(request.id, "injected failure"),
            "empty": Completion(request.id, b""),
            "garbage": Completion(request.id, b"\xff" * 16),
        }
        events[-1] = replaced[self._fault]
