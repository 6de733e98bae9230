"""The hub of a server: what clients ask for in place of what LoadGen issues, and answers that are streamed.

The same thread, wire, dispatcher and supervision as of a run (:mod:`sut.hub`). What differs: samples bring their own
prompts and limits, tokens are handed on as they come, a sample may be cancelled, and one that fails ends alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mlperf_llama_base.errors import HarnessError
from sut.dispatching import Batch
from sut.hub import Hub
from sut.messages import Cancel, Completion, Failure, FirstToken, Request, StepEvents, Tokens
from sut.served import ServedDispatcher, ServedSample
from sut.supervisor import WorkerView

News = list[ServedSample]


class ServingHub(Hub):
    """``news(samples)`` is called on the hub's thread with samples that have new tokens or have ended, some of them
    several times; of a sample that is not streamed, with its first token and its end. ``None``: the hub is over, and
    ``failure`` says why.
    """

    dispatcher: ServedDispatcher

    def __init__(self, *, news: Callable[[News | None], None], **named: Any) -> None:
        super().__init__(prompts=_no_data_set, deliver=_no_loadgen, **named)
        self._news = news
        self._changed: News = []

    def ask(self, samples: list[ServedSample]) -> None:
        """Take samples in; any thread may call."""
        self._inbox.put(samples)

    def cancel(self, ids: list[int]) -> None:
        """Nobody waits for these samples any more; any thread may call."""
        self._inbox.put(Cancel(ids))

    # -- the hub's thread ----------------------------------------------------------------------------------------

    def _take_issued(self) -> None:
        for item in self._inbox.take():
            if isinstance(item, Cancel):
                self._cancel(item.ids)
            else:
                self.dispatcher.issue(item)
            self.events += 1

    def _cancel(self, ids: list[int]) -> None:
        by_worker: dict[int, list[int]] = {}
        for sample_id in ids:
            worker = self.dispatcher.cancel(sample_id)
            if worker is not None:
                by_worker.setdefault(worker, []).append(sample_id)
        for worker, theirs in by_worker.items():
            self._router.send(self.workers[worker].spec.identity, Cancel(theirs))

    def _dispatch(self) -> None:
        super()._dispatch()
        self._report()

    def _request(self, sample: Any) -> Request:
        return self.dispatcher.request(sample)

    def _submit(self, worker: int, samples: list[Any]) -> None:
        try:
            super()._submit(worker, samples)
        except Exception:  # noqa: BLE001  one of them cannot be written as a message: the others shall not suffer
            for sample in samples:
                self._submit_alone(worker, sample)

    def _submit_alone(self, worker: int, sample: Any) -> None:
        try:
            super()._submit(worker, [sample])
        except Exception as error:  # noqa: BLE001  whatever it is, it is this sample's
            self.dispatcher.refuse(worker, sample, f"it cannot be sent: {type(error).__name__}: {error}")

    def _receive(self) -> bool:
        more = super()._receive()
        self._report()
        return more

    def _book(self, steps: list[tuple[WorkerView, StepEvents]]) -> None:
        now = time.perf_counter_ns()
        for view, message in steps:
            self._events(view, message, now)

    def _events(self, view: WorkerView, message: StepEvents, now: int) -> None:
        worker = view.spec.id
        dispatcher, changed = self.dispatcher, self._changed
        for event in message.events:
            sample = dispatcher.held(worker, event.id)
            if sample is None:
                dispatcher.duplicates += 1
            elif type(event) is Tokens:
                sample.answer += event.tokens
                changed.append(sample)
            elif type(event) is FirstToken:
                self._first(worker, sample, event, now)
            elif type(event) is Completion:
                if dispatcher.finish(worker, sample, event, now):
                    view.samples += 1
                    view.tokens += len(sample.answer) >> 2
                    changed.append(sample)
            elif type(event) is Failure:
                dispatcher.fail(worker, event)

    def _first(self, worker: int, sample: ServedSample, event: FirstToken, now: int) -> None:
        new = self.dispatcher.first_token(worker, event, now) is not None
        if sample.limits.stream:  # also the first of a worker that goes on with another's answer
            sample.answer += event.tokens
        if new or sample.limits.stream:
            self._changed.append(sample)

    def _report(self) -> None:
        if self.dispatcher.ended:
            ended, self.dispatcher.ended = self.dispatcher.ended, []
            self._changed += ended
        if self._changed:
            changed, self._changed = self._changed, []
            self._news(changed)

    def _fail(self, error: HarnessError) -> None:
        super()._fail(error)
        left: Any = list(self.dispatcher.outstanding.values())
        for sample in left:
            sample.failure = sample.failure or str(error)
        self._changed += left
        self._report()
        self._news(None)


def _no_data_set(index: int) -> bytes:
    raise NotImplementedError(f"a served sample brings its own prompt (asked for {index})")


def _no_loadgen(first: Batch, done: Batch) -> None:
    raise NotImplementedError("a server reports to no LoadGen")
