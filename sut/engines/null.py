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

from mlperf_llama_base.errors import EnvironmentFault, UserError, nearest
from sut.engines.base import Engine
from sut.messages import Completion, EngineInfo, EngineSettings, Event, Failure, FirstToken, Request

DEFAULTS: dict[str, Any] = {
    "output_tokens": 128,
    "max_num_seqs": 512,
    "max_num_batched_tokens": 8192,
    "step_ms": 0.0,
    "sequence_us": 0.0,
    "prefill_us": 0.0,
    "load_s": 0.0,
    "eos_token_id": 128009,
    "vocab_size": 128256,
    # fault injection at the N-th sample: raise@N hang@N exit@N fail@N empty@N twice@N garbage@N; at load: oom@0 exit@0
    "fault": "",
    "fault_worker": None,
    # every step of this worker takes so many times as long
    "slow_worker": None,
    "slow_factor": 10.0,
}


class NullEngine(Engine):
    """See the module. ``args``: the keys of ``DEFAULTS``."""

    concurrent = True

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        for key in settings.args:
            if key not in DEFAULTS:
                raise UserError(f"engine.args.{key} is not known to the null engine{nearest(key, DEFAULTS)}")
        self.args = DEFAULTS | settings.args
        self._eos = int(self.args["eos_token_id"]).to_bytes(4, "little")
        self._n = min(int(self.args["output_tokens"]), settings.max_new_tokens)
        self._changed = threading.Condition()
        self._waiting: deque[Request] = deque()
        self._running = 0
        self._finishing: dict[int, list[Request]] = {}  # step number -> those that end with it
        self._step = 0
        self._step_ends = 0.0
        self._seen = 0
        self._fault, _, at = str(self.args["fault"]).partition("@")
        self._fault_at = int(at or 0)
        worker = os.environ.get("MLPERF_LLAMA_WORKER_ID")
        if self.args["fault_worker"] is not None and worker != str(self.args["fault_worker"]):
            self._fault = ""
        slow = self.args["slow_worker"] is not None and worker == str(self.args["slow_worker"])
        self._slowness = float(self.args["slow_factor"]) if slow else 1.0

    def load(self) -> EngineInfo:
        if self._fault == "oom":
            raise EnvironmentFault("null engine: out of memory (injected): lower engine.args.max_num_seqs")
        if self._fault == "exit" and self._fault_at == 0:
            os._exit(9)
        time.sleep(self.args["load_s"])
        return EngineInfo(
            name="null",
            version="1",
            capacity=int(self.args["max_num_seqs"]),
            eos_token_ids=[int(self.args["eos_token_id"])],
            vocab_size=int(self.args["vocab_size"]),
            weight_dtype="none",
            kv_cache_dtype="none",
            facts={"args": self.args},
            not_submittable=["the null engine runs no model"],
        )

    @property
    def outstanding(self) -> int:
        return len(self._waiting) + self._running

    @property
    def running(self) -> int:
        return self._running

    def submit(self, requests: Sequence[Request]) -> None:
        with self._changed:
            self._waiting.extend(requests)
            self._changed.notify()

    def poll(self, timeout_s: float) -> list[Event]:
        with self._changed:
            if not self.outstanding and not self._changed.wait_for(lambda: self.outstanding, timeout_s):
                return []
        return self._advance() if self.args["step_ms"] else self._answer_at_once()

    def _answer_at_once(self) -> list[Event]:
        events: list[Event] = []
        while self._waiting:
            self._finish(self._waiting.popleft(), events, first=True)
        return events

    def _advance(self) -> list[Event]:
        """Run one step: admit, sleep for its length, deliver."""
        budget = int(self.args["max_num_batched_tokens"]) - self._running
        admitted: list[Request] = []
        prefill = 0
        while self._waiting and self._running < self.args["max_num_seqs"]:
            length = len(self._waiting[0].tokens) // 4
            if admitted and prefill + length > budget:
                break
            prefill += length
            admitted.append(self._waiting.popleft())
            self._running += 1
        self._step += 1
        self.steps = self._step
        self._finishing.setdefault(self._step + self._n - 1, []).extend(admitted)
        step_us = self.args["sequence_us"] * self._running + self.args["prefill_us"] * prefill
        length_s = (self.args["step_ms"] + step_us / 1e3) / 1e3 * self._slowness
        now = time.perf_counter()
        # counted from the end of the last step, so that the sleeps' lateness does not add up
        self._step_ends = (self._step_ends if now - self._step_ends < 0.05 else now) + length_s
        time.sleep(max(0.0, self._step_ends - now))
        events: list[Event] = []
        if self.settings.first_tokens:
            events += [FirstToken(r.id, r.tokens[:4] if self._n > 1 else self._eos) for r in admitted]
        for request in self._finishing.pop(self._step, []):
            self._running -= 1
            self._finish(request, events, first=False)
        return events

    def _finish(self, request: Request, events: list[Event], *, first: bool) -> None:
        need = 4 * (self._n - 1)
        body = request.tokens[:need]
        while len(body) < need:
            body += request.tokens[: need - len(body)]
        if first and self.settings.first_tokens:
            events.append(FirstToken(request.id, (body + self._eos)[:4]))
        events.append(Completion(request.id, body + self._eos))
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
