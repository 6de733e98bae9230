"""The hub of a share: what the front gives it in place of what LoadGen issues, and the front in LoadGen's place.

The same thread, wire, dispatcher, checks and supervision as of a run with one hub (:mod:`sut.hub`); it has one socket
more, to the front. Where nobody asks when a single sample was done, in Offline, answers go there in lots.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, NoReturn

import numpy as np
import zmq

from mlperf_llama_base import child, typed
from mlperf_llama_base.errors import HarnessError
from mlperf_llama_base.orphans import die_with_parent
from sut.dispatching import Batch
from sut.front.messages import (
    LOT,
    LOT_S,
    Answers,
    Ask,
    Broke,
    Given,
    News,
    NewTest,
    ShareSpec,
    decode_to_share,
    encode,
)
from sut.hub import Hub
from sut.messages import Stop
from sut.policies import Sample
from sut.record import SampleRecord
from sut.workers.base import WorkerPool, grace_s

NEWS_S = 0.5
MESSAGES_A_TURN = 4
NO_WAIT = int(zmq.NOBLOCK)


class ShareHub(Hub):
    """``spec``: of this share. Its ``record`` holds what the front has not been told yet."""

    def __init__(self, *, spec: ShareSpec, **named: Any) -> None:
        super().__init__(deliver=self._keep, specs=spec.workers, curve_keys=spec.curve_keys, **named)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._front = _to_front(self._context, spec)
        self._poller.register(self._front, zmq.POLLIN)
        self.poll_ms = int(LOT_S * 1000)
        self._lot = 1 if self.dispatcher.first_tokens else LOT
        self._first: Batch = []
        self._done: Batch = []
        self._kept_since = 0.0
        self._test = 0
        self._answered: int | None = None
        self._news_at = 0.0
        self._known = (0, 0)

    # -- the hub's thread ----------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            super().run()
        finally:
            self._front.close()

    def _turn(self) -> bool:
        moved = super()._turn()
        if (self._done or self._first) and (
            len(self._done) + len(self._first) >= self._lot
            or not self.dispatcher.outstanding
            or time.perf_counter() - self._kept_since >= LOT_S
        ):
            self._tell()
        return moved

    def _take_issued(self) -> None:
        for _ in range(MESSAGES_A_TURN):
            try:
                message = decode_to_share(self._front.recv(NO_WAIT))
            except zmq.Again:
                return
            if type(message) is Given:
                self.dispatcher.issue(self._samples(message))
                self.events += 1
            elif type(message) is NewTest:
                self._test = message.number
                self.new_test()
            elif type(message) is Ask:
                self._answered = message.question
                self._send_news()
            elif type(message) is Stop:
                self._stopping.set()

    def _samples(self, given: Given) -> list[Sample]:
        length = self._length
        columns = _list(given.numbers, "<i8"), _list(given.indices, "<i4"), _list(given.issue_ns, "<i8")
        samples = [Sample(number, index, length(index), ns) for number, index, ns in zip(*columns, strict=True)]
        if given.attempts.strip(b"\0"):
            for sample, attempts in zip(samples, given.attempts, strict=True):
                sample.attempts = min(attempts, self.dispatcher.max_attempts - 1)  # it was not the sample's fault
        if given.first:
            for at, ns in enumerate(_list(given.first_ns, "<i8")):
                if ns:
                    samples[at].first_token, samples[at].first_ns = given.first[4 * at : 4 * at + 4], ns
        return samples

    def _keep(self, first: Batch, done: Batch) -> None:
        if not self._done and not self._first:
            self._kept_since = time.perf_counter()
        self._first += first
        self._done += done

    def _tell(self) -> None:
        """Tell the front what there is."""
        first, done = self._first, self._done
        self._first, self._done = [], []
        answers = Answers(counts=self.counts)
        if first:
            answers.first = np.array([number for number, _ in first], "<i8").tobytes()
            answers.first_tokens = b"".join([token for _, token in first])
        if done:
            answers.columns = self.record.take()
            tokens = [ids for _, ids in done]
            answers.room = room = max(map(len, tokens))
            answers.tokens = b"".join([ids if len(ids) == room else ids.ljust(room, b"\0") for ids in tokens])
        self._front.send(encode(answers), NO_WAIT)

    def _supervise(self) -> None:
        super()._supervise()
        known = (self.ready, self.dead)
        if known != self._known or time.monotonic() >= self._news_at:
            self._known = known
            self._send_news()

    def _send_news(self) -> None:
        self._news_at = time.monotonic() + NEWS_S
        loads = self.dispatcher.workers
        backlog = self.dispatcher.policy.backlog
        news = News(
            test=self._test,
            answers=self._answered,
            counts=self.counts,
            workers=list(self.workers.values()),
            held={number: len(load.outstanding) for number, load in loads.items()},
            engine=self.engine,
            lost=self.lost,
            refused=self.refused,
            refused_peers=self.refused_peers,
            dead=self.dead,
            capacity=self.capacity,
            room=sum(load.capacity + backlog for load in loads.values()),
            events=self.events,
            busy_share=self.duty.share,
            cpu_s=time.process_time(),
            hub_cpu_s=time.thread_time(),
        )
        self._front.send(encode(news), NO_WAIT)

    def new_test(self, arrivals: Any = None) -> None:
        super().new_test()
        self.record = SampleRecord()

    def _fail(self, error: HarnessError) -> None:
        super()._fail(error)
        if self._done or self._first:
            self._tell()
        self._send_news()
        alone = self.dead == len(self.workers)
        self._front.send(encode(Broke(str(error), error.exit_code, alone)), NO_WAIT)


def _to_front(context: zmq.Context[zmq.Socket[bytes]], spec: ShareSpec) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.DEALER)
    for option, value in ((zmq.SNDHWM, 0), (zmq.RCVHWM, 0), (zmq.LINGER, 1000), (zmq.IDENTITY, spec.identity)):
        socket.setsockopt(option, value)
    socket.connect(spec.endpoint)
    return socket


def _list(column: bytes, kind: str) -> list[int]:
    values: list[int] = np.frombuffer(column, kind).tolist()
    return values


# -- the process ---------------------------------------------------------------------------------------------------


def own_spec() -> ShareSpec:
    """In the process of a share, first of all: what it is to be."""
    spec = typed.from_msgpack(child.handed_over(), ShareSpec)
    die_with_parent(child.parent())
    return spec


def work(hub: ShareHub, pool: WorkerPool) -> NoReturn:
    """Be the share until the front says stop, or it cannot go on. No worker is left afterwards; ends the process."""
    hub.start()
    hub.join()
    idle = hub.failure is None and hub.ready == len(hub.workers) and not hub.outstanding
    pool.close(grace_s(idle=idle))
    sys.stdout.flush()
    os._exit(0 if hub.failure is None else hub.failure.exit_code)


def refuse(spec: ShareSpec, error: HarnessError) -> NoReturn:
    """The share cannot even begin: tell the front why, and end."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = _to_front(context, spec)
    socket.send(encode(Broke(str(error), error.exit_code, alone=True)))
    socket.close()
    context.term()
    os._exit(error.exit_code)
