"""Samples that a server's clients ask for, and the dispatcher's decisions about them where they are not LoadGen's.

A sample that cannot be completed ends alone, not the run. One that was streamed is not begun anew by the next worker:
it goes on after the tokens that have left already, so that no token can come twice and none can differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sut.checks import CLEAN, UNUSABLE
from sut.dispatcher import Dispatcher
from sut.messages import Completion, Failure, Limits, Request
from sut.policies import Sample

CANCELLED = "cancelled"


class ServedSample(Sample, gc=True, eq=False):
    """``prompt``: int32 LE ids. ``answer`` grows while it is streamed, and is whole once ``done``; ``failure``: there
    is no whole answer, and why. ``abandoned``: nobody waits for it. ``listener``: of whoever asked, not ours.
    """

    prompt: bytes = b""
    limits: Limits = Limits(128)
    answer: bytearray = msgspec.field(default_factory=bytearray)
    done: bool = False
    failure: str = ""
    abandoned: bool = False
    resumed: int = 0
    done_ns: int = 0
    listener: Any = None


class ServedDispatcher(Dispatcher):
    """``ended``: samples that ended without their worker's last word, for the hub to report."""

    def __init__(self, **named: Any) -> None:
        super().__init__(**named)
        self.ended: list[ServedSample] = []

    def request(self, sample: ServedSample) -> Request:
        """What a worker gets: the prompt and its limits, less what it has been answered with already."""
        if not sample.answer:
            sample.resumed = 0
            return Request(sample.id, sample.prompt, sample.limits)
        sample.resumed = given = len(sample.answer) >> 2
        limits = msgspec.structs.replace(
            sample.limits,
            max_tokens=sample.limits.max_tokens - given,
            min_tokens=max(0, sample.limits.min_tokens - given),
            resumed=given,
        )
        return Request(sample.id, sample.prompt + bytes(sample.answer), limits)

    def held(self, worker: int, sample_id: int) -> ServedSample | None:
        """The sample, if this worker has it."""
        load = self.workers.get(worker)
        return load.outstanding.get(sample_id) if load else None  # type: ignore[return-value]

    def finish(self, worker: int, sample: ServedSample, event: Completion, now_ns: int) -> bool:
        """Book the last event of a sample. False: it was not usable, and the sample is tried again or has failed."""
        streamed = bytes(sample.answer)
        tokens = streamed[: 4 * sample.resumed] + event.tokens
        if sample.abandoned or not tokens.startswith(streamed):
            reason = CANCELLED if sample.abandoned else "the answer is not what was streamed of it"
            self.fail(worker, Failure(sample.id, reason))
            return False
        if sample.resumed:
            event = Completion(sample.id, tokens)
        booked, _ = self.complete(worker, event, now_ns)
        if booked is None:
            return False
        sample.answer += tokens[len(streamed) :]
        sample.done_ns = now_ns
        sample.done = True
        return True

    def refuse(self, worker: int, sample: ServedSample, reason: str) -> None:
        """A sample that this worker was to have, and that no worker can be given: it ends alone."""
        sample.attempts = self.max_attempts
        self.fail(worker, Failure(sample.id, reason))

    def cancel(self, sample_id: int) -> int | None:
        """Nobody waits for it any more. Returns the worker that has to be told, if one works on it."""
        sample: Any = self.outstanding.get(sample_id)
        if sample is None or sample.abandoned:
            return None
        sample.abandoned = True
        worker = int(sample.worker)
        if self.held(worker, sample_id) is sample:
            return worker
        self.queue.remove(sample)
        del self.outstanding[sample_id]
        return None

    def _requeue(self, sample: Any, reason: str) -> None:
        if sample.abandoned:
            del self.outstanding[sample.id]
        elif self._is_whole(sample):  # only its worker's last word is missing
            del self.outstanding[sample.id]
            self.completed += 1
            sample.done = True
            self.ended.append(sample)
        else:
            super()._requeue(sample, reason)

    def _is_whole(self, sample: ServedSample) -> bool:
        given, limits = len(sample.answer) >> 2, sample.limits
        if not given or given >= limits.max_tokens:
            return given > 0
        return not limits.ignore_eos and int.from_bytes(sample.answer[-4:], "little") in self.eos_token_ids

    def _give_up(self, sample: Any, reason: str) -> None:
        del self.outstanding[sample.id]
        sample.failure = f"failed {sample.attempts} times, last on worker {sample.worker}: {reason}"
        self.ended.append(sample)

    def examine(self, answers: Sequence[bytes]) -> list[str] | None:
        """Only whether there is an answer at all."""
        found = super().examine(answers)
        return found and [problem if problem in UNUSABLE else CLEAN for problem in found]

    def _note(self, sample: Any, event: Completion, problem: str) -> None:
        """What an answer may look like is its client's affair; only that it keeps to its limits is ours."""
        n, limits = len(event.tokens) >> 2, sample.limits
        last = int.from_bytes(event.tokens[-4:], "little")
        if n > limits.max_tokens:
            self._violation("too_long", sample)
        elif n < limits.max_tokens and self.eos_token_ids and (limits.ignore_eos or last not in self.eos_token_ids):
            self._violation("cut_short", sample)
