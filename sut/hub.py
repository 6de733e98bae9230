"""The thread between LoadGen and the workers: the ROUTER socket, and nothing that has to be decided.

It carries what was issued to the dispatcher, the dispatcher's assignments to the workers, their answers back, and what
happens to workers to the supervisor; the decisions are those two's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat

import msgspec

from sut.arrivals import Arrivals
from sut.checks import CLEAN
from sut.dispatcher import Dispatcher
from sut.dispatching import Batch, Counts, Reports, counts_of
from sut.messages import (
    Completion,
    Failure,
    Fault,
    FirstToken,
    Heartbeat,
    Hello,
    Ready,
    Request,
    StepEvents,
    Submit,
    WorkerSpec,
    decode_from_worker,
)
from sut.policies import Sample
from sut.record import SampleRecord
from sut.router import identity
from sut.supervisor import Action, Do, LostWorker, State, Supervisor, SupervisorOptions, WorkerView
from sut.turns import Turns
from sut.workers.base import WorkerPool

SAMPLES_A_PARCEL = 512  # handed out before the first of them leave: nobody waits until all others are full


class Hub(Turns):
    """``prompts(index)`` gives a sample's ids as int32 LE bytes, ``lengths`` their numbers where known already;
    ``deliver(first, done)`` takes what is for LoadGen.
    """

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        pool: WorkerPool,
        specs: list[WorkerSpec],
        prompts: Callable[[int], bytes],
        lengths: Sequence[int] = (),
        deliver: Reports,
        options: SupervisorOptions,
        bind: str,
        curve_keys: tuple[bytes, bytes] | None = None,
    ) -> None:
        super().__init__("hub", role="dispatcher", bind=bind, curve_keys=curve_keys)
        self.dispatcher = dispatcher
        self.supervisor = Supervisor(options)
        self.pool = pool
        self.prompts = prompts
        self._deliver = deliver
        self._arrivals = Arrivals()
        self._peers: dict[bytes, WorkerView] = {}  # by the identity of the incarnation that may speak now
        self._steps: list[tuple[WorkerView, StepEvents]] = []  # heard in this turn, not yet booked
        self._length = lengths.__getitem__ if lengths else lambda index: len(prompts(index)) >> 2
        for spec in specs:
            self._admit(spec)

    # -- called from other threads -------------------------------------------------------------------------------

    def issue(self, samples: list[tuple[int, int]], at_ns: int | None = None) -> None:
        self._inbox.put((samples, time.perf_counter_ns() if at_ns is None else at_ns))

    def new_test(self, arrivals: Arrivals | None = None) -> None:
        self._arrivals = arrivals or Arrivals()
        self.record = SampleRecord()
        self.dispatcher.new_test()
        self.duty.restart()
        self.lost = []
        for view in self.workers.values():
            view.new_test()

    @contextlib.contextmanager
    def reporting_to(self, reports: Reports) -> Iterator[None]:
        usual, self._deliver = self._deliver, reports
        try:
            yield
        finally:
            self._deliver = usual

    def in_flight(self) -> list[Sample]:
        while True:
            try:
                return list(self.dispatcher.outstanding.values())
            except RuntimeError:  # the hub's thread changed the table meanwhile
                continue

    @property
    def workers(self) -> dict[int, WorkerView]:
        return self.supervisor.workers

    @property
    def dead(self) -> int:
        return self.supervisor.gone(self._now)

    @property
    def capacity(self) -> int:
        return sum(load.capacity for load in list(self.dispatcher.workers.values()))

    @property
    def counts(self) -> Counts:
        return counts_of(self.dispatcher)

    @property
    def outstanding(self) -> int:
        return len(self.dispatcher.outstanding)

    def held(self, worker: int) -> int:
        load = self.dispatcher.workers.get(worker)
        return len(load.outstanding) if load else 0

    # -- the hub's thread ----------------------------------------------------------------------------------------

    def _identities(self) -> Iterator[bytes]:
        return (view.spec.identity for view in self.workers.values())

    def _take_issued(self) -> None:
        taken = list(self._inbox.take())
        if not taken:
            return
        pairs = [pair for batch, _ in taken for pair in batch]
        due = self._arrivals.take([at_ns for batch, at_ns in taken for _ in batch])
        length = self._length
        samples = [Sample(i, index, length(index), at) for (i, index), at in zip(pairs, due, strict=True)]
        self.dispatcher.issue(samples, [len(batch) for batch, _ in taken])
        self.events += 1

    def _dispatch(self) -> None:
        """Send each worker what it is given in one message."""
        parcels: dict[int, list[Sample]] = {}
        count = 0
        for worker, samples in self.dispatcher.assignments(time.perf_counter_ns()):
            parcels.setdefault(worker, []).extend(samples)
            count += len(samples)
            if count >= SAMPLES_A_PARCEL:
                self._submit_all(parcels)
                count = 0
        self._submit_all(parcels)

    def _submit_all(self, parcels: dict[int, list[Sample]]) -> None:
        for worker, samples in parcels.items():
            self._submit(worker, samples)
        parcels.clear()

    def _submit(self, worker: int, samples: list[Sample]) -> None:
        self._router.send(self.workers[worker].spec.identity, Submit([self._request(s) for s in samples]))

    def _request(self, sample: Sample) -> Request:
        return Request(sample.id, self.prompts(sample.index))

    def _worker_of(self, peer: bytes) -> int | None:
        view = self._peers.get(peer)
        return view.spec.id if view else None

    def _one(self, frames: list[bytes]) -> None:
        view = self._peers.get(frames[0]) if len(frames) == 2 else None
        if view is None:  # a stranger, an earlier incarnation, or one that was given up
            self.refused += 1
            return
        try:
            message = decode_from_worker(frames[1])
        except msgspec.DecodeError:
            self.refused += 1
            self._settle()
            self.supervisor.nonsense(view, self._now)
            self._act()
            return
        view.heard = self._now
        if type(message) is StepEvents:
            self._steps.append((view, message))
        elif type(message) is Heartbeat:
            self.supervisor.heartbeat(view, message)
        elif type(message) is Hello:
            self.supervisor.hello(view, message)
        elif type(message) is Ready:
            self._ready(view, message)
        elif type(message) is Fault:
            self._settle()
            self.supervisor.fault(view, message, self._now)
            self._act()

    def _settle(self) -> None:
        """Book what workers have sent in this turn."""
        if self._steps:
            steps, self._steps = self._steps, []
            self._book(steps)
            self.events += 1

    def _book(self, steps: list[tuple[WorkerView, StepEvents]]) -> None:
        """All answers are examined as one; what is for LoadGen goes to it together."""
        now = time.perf_counter_ns()
        dispatcher = self.dispatcher
        first: Batch = []
        done: Batch = []
        rows: list[Sample] = []
        answers = [event.tokens for _, message in steps for event in message.events if type(event) is Completion]
        problems = iter((answers and dispatcher.examine(answers)) or repeat(CLEAN))
        for view, message in steps:
            worker, before = view.spec.id, len(done)
            for event in message.events:
                if type(event) is FirstToken:
                    if dispatcher.first_token(worker, event, now):
                        first.append((event.id, event.tokens))
                elif type(event) is Completion:
                    sample, with_first = dispatcher.complete(worker, event, now, next(problems))
                    if sample is not None:
                        if with_first:
                            first.append((event.id, event.tokens[:4]))
                        done.append((event.id, event.tokens))
                        rows.append(sample)
                        view.tokens += len(event.tokens) >> 2
                elif type(event) is Failure:
                    dispatcher.fail(worker, event)
            view.samples += len(done) - before
        self.record.add(rows, [tokens for _, tokens in done], now)  # before the test can be over
        if first or done:
            self._deliver(first, done)

    def _ready(self, view: WorkerView, message: Ready) -> None:
        self.supervisor.ready(view, message, self._now)
        self.engine = self.engine or message.info
        dispatcher = self.dispatcher
        dispatcher.eos_token_ids |= set(message.info.eos_token_ids)
        self.engine.eos_token_ids = sorted(dispatcher.eos_token_ids)
        dispatcher.vocab_size = message.info.vocab_size
        dispatcher.max_new_tokens = view.spec.engine.max_new_tokens
        dispatcher.worker_ready(view.spec.id, capacity=message.info.capacity, now_ns=time.perf_counter_ns())
        self.changed.set()

    # -- workers come and go -----------------------------------------------------------------------------------------

    def _supervise(self) -> None:
        now, supervisor = self._now, self.supervisor
        self.refused_peers += self._router.refused()
        for spec in self.pool.added():
            self._admit(spec)
        for gone in self.pool.exits():
            supervisor.exited(gone.worker, gone.incarnation, gone.reason, now)
        self._act()
        for view in self.workers.values():
            if view.state in (State.STARTING, State.UNPLACED) and view.start_due is None:
                supervisor.placed(view, self.pool.place(view.spec.id), now)
        holding = {load.id for load in self.dispatcher.workers.values() if load.outstanding}
        dead = self.dead
        try:
            self.events += supervisor.look(now, holding=holding)
        finally:
            self._act()
        if self.dead != dead:
            self.changed.set()

    def _admit(self, spec: WorkerSpec) -> None:
        self._router.admit(spec)
        spec.endpoint = spec.endpoint or self.endpoint
        self.supervisor.admit(spec, self._now)

    def _act(self) -> None:
        """Do what the supervisor has decided."""
        while actions := self.supervisor.actions():
            for action in actions:
                self._do(action)

    def _do(self, action: Action) -> None:
        view = self.workers[action.worker]
        if action.do is Do.START:
            self._silence(view)
            view.spec.identity = identity(view.spec)
            self._peers[view.spec.identity] = view
            try:
                self.pool.start(view.spec)
            except OSError as error:
                self.supervisor.start_failed(action.worker, str(error), self._now)
        elif action.do is Do.RELEASE:
            self._silence(view)
            back = self.dispatcher.worker_lost(action.worker)
            self.lost.append(LostWorker(action.worker, view.node, view.fault, back, round(time.time(), 3)))
        else:
            self.pool.kill(action.worker)

    def _silence(self, view: WorkerView) -> None:
        """What a worker's process says from now on counts for nothing."""
        self._peers = {peer: known for peer, known in self._peers.items() if known is not view}
