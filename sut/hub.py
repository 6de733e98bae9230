"""The thread between LoadGen and the workers: owns the ROUTER socket, feeds the dispatcher, watches workers."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import zmq

from mlperf_llama_base.errors import EnvironmentFault, HarnessError, RunError, UserError
from sut.curve import Gate
from sut.dispatcher import Dispatcher
from sut.messages import (
    Completion,
    EngineInfo,
    Failure,
    Fault,
    FirstToken,
    Heartbeat,
    Hello,
    Ready,
    Request,
    StepEvents,
    Stop,
    Submit,
    WorkerSpec,
    decode_from_worker,
    encode,
)
from sut.policies import Sample
from sut.record import SampleRecord
from sut.supervisor import HubOptions, WorkerView
from sut.workers.base import WorkerPool

MAX_MESSAGE_BYTES = 64 << 20
Reports = Callable[[list[tuple[int, bytes]], list[tuple[int, bytes]]], None]


class Hub(threading.Thread):
    """Runs until :meth:`stop`. ``failure`` is set when the run cannot go on; ``changed`` fires on it and on each ready.

    ``prompts(index)`` gives a sample's ids as int32 LE bytes; ``deliver(first, done)`` takes what is for LoadGen.
    """

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        pool: WorkerPool,
        specs: list[WorkerSpec],
        prompts: Callable[[int], bytes],
        deliver: Reports,
        options: HubOptions,
        bind: str,
        curve_keys: tuple[bytes, bytes] | None = None,
    ) -> None:
        super().__init__(name="hub", daemon=True)
        self.dispatcher = dispatcher
        self.pool = pool
        self.prompts = prompts
        self._deliver = deliver
        self.options = options
        self.workers = {spec.id: WorkerView(spec) for spec in specs}
        self.record = SampleRecord()
        self.engine: EngineInfo | None = None
        self.lost: list[dict[str, Any]] = []
        self.refused = 0
        self.refused_peers = 0
        self.failure: HarnessError | None = None
        self.changed = threading.Event()
        self.events = 0  # grows with everything that happens: a watchdog sees when nothing does
        self._inbox: deque[list[tuple[int, int]]] = deque()
        self._lengths: Callable[[int], int] = lambda index: len(prompts(index)) >> 2
        self._stopping = threading.Event()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        for option in (zmq.SNDHWM, zmq.RCVHWM):
            self._socket.setsockopt(option, 0)
        self._socket.setsockopt(zmq.LINGER, 500)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self._gate = Gate(self._context, self._socket, keys=curve_keys) if curve_keys else None
        for spec in specs:
            self._admit(spec)
        self._socket.bind(bind)
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    # -- called from other threads -------------------------------------------------------------------------------

    def issue(self, samples: list[tuple[int, int]]) -> None:
        """Take ``(sample id, data-set index)`` pairs. Only enqueues: it runs on LoadGen's thread."""
        self._inbox.append([(id_, index) for id_, index in samples])
        os.eventfd_write(self._wake, 1)

    def new_test(self) -> None:
        """Count from zero; only between tests, when nothing is outstanding."""
        self.record = SampleRecord()
        self.dispatcher.new_test()
        self.lost = []
        for view in self.workers.values():
            view.samples = view.tokens = view.beats = view.busy_beats = 0

    @contextlib.contextmanager
    def reporting_to(self, reports: Reports) -> Iterator[None]:
        """For a block ``reports`` gets first tokens and completions, on the hub's thread, in LoadGen's place."""
        usual, self._deliver = self._deliver, reports
        try:
            yield
        finally:
            self._deliver = usual

    def start_record(self) -> SampleRecord:
        """Begin a new record, which samples that complete from now on go into, and return it."""
        self.record = SampleRecord()
        return self.record

    def without_first_token(self) -> list[int]:
        """Ids of the outstanding samples that have no first token yet."""
        while True:
            try:
                return [s.id for s in list(self.dispatcher.outstanding.values()) if not s.first_token]
            except RuntimeError:  # the hub's thread changed the table meanwhile
                continue

    @property
    def ready(self) -> int:
        return sum(w.state == "ready" for w in self.workers.values())

    @property
    def dead(self) -> int:
        """Workers that are gone and will not be started again."""
        return sum(w.state == "dead" for w in self.workers.values())

    @property
    def capacity(self) -> int:
        """Samples that the ready workers can work on at once."""
        return sum(load.capacity for load in list(self.dispatcher.workers.values()))

    def missing(self) -> list[str]:
        """Workers that are not ready, each with what is known of it."""
        views = [w for w in self.workers.values() if w.state != "ready"]
        return [f"worker {w.spec.id}{f' on {w.node}' if w.node else ''} ({w.fault or w.state})" for w in views]

    def of_input(self) -> UserError | None:
        """What the user gave, if that is why workers cannot start: it is the same for all of them."""
        wrong = {w.fault for w in self.workers.values() if w.state == "dead" and w.exit_code == UserError.exit_code}
        return UserError("; ".join(sorted(wrong))) if wrong else None

    def stop(self) -> None:
        self._stopping.set()
        os.eventfd_write(self._wake, 1)
        self.join(10)

    # -- the hub's thread ----------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            for view in self.workers.values():
                self._start(view)
            self._loop()
        except HarnessError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001  nothing may leave LoadGen waiting for ever
            self._fail(RunError(f"the dispatcher broke: {type(error).__name__}: {error}"))
        finally:
            for view in self.workers.values():
                self._send(view, Stop())
            if self._gate:
                self._gate.close()
            self._socket.close()
            self._context.term()

    def _loop(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake, zmq.POLLIN)
        look_at = 0.0
        while not self._stopping.is_set():
            ready = dict(poller.poll(100))
            if self._wake in ready:
                os.eventfd_read(self._wake)
                self._take_issued()
            if self._socket in ready:
                self._receive()
            self._dispatch()
            now = time.monotonic()
            if now >= look_at:
                look_at = now + 0.2
                self._supervise(now)

    def _take_issued(self) -> None:
        now = time.perf_counter_ns()
        while self._inbox:
            batch = self._inbox.popleft()
            self.dispatcher.issue([Sample(i, index, self._lengths(index), now) for i, index in batch])
            self.events += 1

    def _dispatch(self) -> None:
        now = time.perf_counter_ns()
        for worker, samples in self.dispatcher.assignments(now):
            prompts = self.prompts
            self._send(self.workers[worker], Submit([Request(s.id, prompts(s.index)) for s in samples]))

    def _receive(self) -> None:
        first: list[tuple[int, bytes]] = []
        done: list[tuple[int, bytes]] = []
        try:
            for _ in range(64):
                frames = self._socket.recv_multipart(zmq.NOBLOCK)
                self._one(frames, first, done)
        except zmq.Again:
            pass
        if first or done:
            self.events += 1
            self._deliver(first, done)

    def _one(self, frames: list[bytes], first: list[tuple[int, bytes]], done: list[tuple[int, bytes]]) -> None:
        view = self._sender(frames)
        if view is None:
            self.refused += 1
            return
        try:
            message = decode_from_worker(frames[1])
        except msgspec.DecodeError:
            self.refused += 1
            self._lose(view, "sent a message that cannot be decoded", kill=True)
            return
        view.heard = time.monotonic()
        if type(message) is StepEvents:
            self._events(view, message, first, done)
        elif type(message) is Heartbeat:
            view.beat = message
            view.beats += 1
            view.busy_beats += message.running > 0
        elif type(message) is Hello:
            view.pid, view.node, view.gpu, view.state = message.pid, message.node, message.gpu, "loading"
        elif type(message) is Ready:
            self._ready(view, message)
        elif type(message) is Fault:
            view.fault, view.exit_code = message.reason, message.exit_code
            if message.exit_code in (UserError.exit_code, EnvironmentFault.exit_code):
                view.restarts = max(view.restarts, self.options.max_restarts)
            self._lose(view, message.reason, kill=False)

    def _sender(self, frames: list[bytes]) -> WorkerView | None:
        """The worker a message comes from; ``None`` for a stranger or an earlier incarnation."""
        try:
            number, incarnation = (int(part) for part in frames[0].split(b":"))
        except ValueError:
            return None
        view = self.workers.get(number)
        if len(frames) != 2 or view is None or view.spec.incarnation != incarnation or view.state == "lost":
            return None
        return view

    def _events(
        self, view: WorkerView, message: StepEvents, first: list[tuple[int, bytes]], done: list[tuple[int, bytes]]
    ) -> None:
        now = time.perf_counter_ns()
        worker = view.spec.id
        dispatcher = self.dispatcher
        for event in message.events:
            if type(event) is FirstToken:
                if dispatcher.first_token(worker, event, now):
                    first.append((event.id, event.tokens))
            elif type(event) is Completion:
                sample, with_first = dispatcher.complete(worker, event, now)
                if sample is not None:
                    if with_first:
                        first.append((event.id, event.tokens[:4]))
                    done.append((event.id, event.tokens))
                    view.samples += 1
                    view.tokens += len(event.tokens) >> 2
                    self.record.add(sample, len(event.tokens) >> 2, now)
            elif type(event) is Failure:
                dispatcher.fail(worker, event)

    def _ready(self, view: WorkerView, message: Ready) -> None:
        view.state, view.fault = "ready", ""
        view.load_s, view.warm_up_s = message.load_s, message.warm_up_s
        view.moved = view.idle_since = time.monotonic()
        self.engine = self.engine or message.info
        dispatcher = self.dispatcher
        dispatcher.eos_token_ids = frozenset(message.info.eos_token_ids)
        dispatcher.vocab_size = message.info.vocab_size
        dispatcher.max_new_tokens = view.spec.engine.max_new_tokens
        dispatcher.worker_ready(view.spec.id, capacity=message.info.capacity, now_ns=time.perf_counter_ns())
        self.changed.set()

    def _start(self, view: WorkerView) -> None:
        view.started = view.heard = view.moved = view.idle_since = time.monotonic()
        view.state = "starting"
        view.progress = -1
        view.beat = Heartbeat(state="starting")
        view.spec.endpoint = view.spec.endpoint or self.endpoint
        self.pool.start(view.spec)

    def _admit(self, spec: WorkerSpec) -> None:
        if self._gate and spec.curve_public_key:
            self._gate.admit(spec.curve_public_key)

    def _send(self, view: WorkerView, message: Submit | Stop) -> None:
        # a worker that is gone cannot be reached: supervision finds out and gives its samples to others
        with contextlib.suppress(zmq.ZMQError):
            self._socket.send_multipart([f"{view.spec.id}:{view.spec.incarnation}".encode(), encode(message)])

    def _supervise(self, now: float) -> None:
        if self._gate:
            self.refused_peers += self._gate.refused()
        for spec in self.pool.added():
            self._admit(spec)
            self.workers = self.workers | {spec.id: WorkerView(spec)}  # others may be reading it
            self._start(self.workers[spec.id])
        for gone in self.pool.exits():
            view = self.workers[gone.worker]
            if gone.incarnation == view.spec.incarnation:
                self._lose(view, view.fault or gone.reason, kill=False)
                self._restart(view)
        for view in self.workers.values():
            self._look_at(view, now)
        if all(view.state == "dead" or self._unplaced(view, now) for view in self.workers.values()):
            reasons = sorted({view.fault or "no node has room for it" for view in self.workers.values()})
            kind = EnvironmentFault if self.engine is None else RunError
            raise self.of_input() or kind(f"no worker is left: {'; '.join(reasons)} (see workers/*.log)")

    def _unplaced(self, view: WorkerView, now: float) -> bool:
        """It has waited in vain for a node. It may wait on as long as others work: nodes come back."""
        return view.state == "no place" and now - view.started > self.options.placement_timeout_s

    def _look_at(self, view: WorkerView, now: float) -> None:
        options = self.options
        load = self.dispatcher.workers.get(view.spec.id)
        busy = view.beat.waiting + view.beat.running > 0
        if view.beat.progress != view.progress:
            view.progress, view.moved, view.idle_since = view.beat.progress, now, now
            self.events += 1
        if not busy:
            view.moved = now
        if busy or load is None or not load.outstanding:
            view.idle_since = now
        if view.state in ("lost", "dead"):
            return
        if view.state in ("starting", "no place"):
            node = self.pool.place(view.spec.id)
            if node is None:
                view.state, view.node = "no place", ""
                return
            if view.state == "no place":
                view.started = now
            view.state, view.node = "starting", node
        if now - view.heard > options.heartbeat_timeout_s and view.state != "starting":
            self._lose(view, f"no heartbeat for {now - view.heard:.0f} s", kill=True)
        elif view.state == "ready" and now - view.moved > options.stall_timeout_s:
            self._lose(view, f"has work but made no progress for {now - view.moved:.0f} s", kill=True)
        elif view.state == "ready" and now - view.idle_since > options.heartbeat_timeout_s:
            # ZeroMQ drops what was under way when it has to connect anew after a broken link
            self._lose(view, "does not know of samples that were sent to it: its connection broke", kill=True)
        elif view.state in ("starting", "loading") and now - view.started > options.start_timeout_s:
            self._lose(view, f"was not ready within {options.start_timeout_s:.0f} s", kill=True)

    def _lose(self, view: WorkerView, reason: str, *, kill: bool) -> None:
        """Give the worker's samples to others. Its process's end is noticed by the pool and leads to the restart."""
        if view.state not in ("lost", "dead"):
            view.state, view.fault = "lost", reason
            back = self.dispatcher.worker_lost(view.spec.id)
            self.lost.append(
                {
                    "worker": view.spec.id,
                    "node": view.node,
                    "reason": reason,
                    "samples_returned": back,
                    "time_s": round(time.time(), 3),
                }
            )
        if kill:
            self.pool.kill(view.spec.id)

    def _restart(self, view: WorkerView) -> None:
        if view.restarts >= self.options.max_restarts:
            view.state = "dead"
            self.changed.set()
            return
        view.restarts += 1
        view.spec.incarnation += 1
        self._start(view)

    def _fail(self, error: HarnessError) -> None:
        self.failure = error
        self.changed.set()
