"""The worker's end of the wire, in a thread of its own: a long step of the engine delays neither a heartbeat nor the
acceptance of new samples. The socket belongs to this thread alone; what others send reaches it through a deque and an
eventfd.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from queue import SimpleQueue

import psutil
import zmq

from sut.engines.base import Engine
from sut.mailbox import Mailbox
from sut.messages import (
    Cancel,
    Completion,
    Event,
    Fault,
    FromWorker,
    Heartbeat,
    Request,
    StepEvents,
    Stop,
    WorkerSpec,
    decode_to_worker,
    encode,
)

log = logging.getLogger("worker")
LONGEST_REASON = 500
GATHER_S = 0.05  # in Offline, where nobody asks when a single sample was done


class NoEngine:
    """Stands in on the wire of a worker whose engine could not even be built."""

    concurrent = False
    outstanding = running = steps = generated = 0


def hand_over(engine: Engine, what: list[Request] | Cancel) -> None:
    """Give the engine what came for it."""
    if isinstance(what, Cancel):
        engine.cancel(what.ids)
    else:
        engine.submit(what)


def in_words(error: Exception) -> str:
    """An unexpected error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_REASON]


class Wire(threading.Thread):
    """Owns the DEALER socket: receives work, sends events, beats."""

    def __init__(self, spec: WorkerSpec, engine: Engine | NoEngine) -> None:
        super().__init__(name="wire", daemon=True)
        self.spec = spec
        self.engine = engine
        self.inbox: SimpleQueue[list[Request] | Cancel] = SimpleQueue()
        self.stopping = threading.Event()
        self.flushed = threading.Event()
        self.state = "loading"
        self.completed = self.tokens = self.progress = 0
        self.failure: Exception | None = None
        self._outbox: Mailbox[FromWorker] = Mailbox()
        self._steps = StepEvents([])  # not sent yet
        self._send_by = 0.0
        self._process = psutil.Process()

    def send(self, message: FromWorker) -> None:
        """Queue a message; any thread may call."""
        self._outbox.put(message)

    def events(self, events: list[Event]) -> None:
        for event in events:
            if type(event) is Completion:
                self.completed += 1
                self.tokens += len(event.tokens) >> 2
        self.progress += len(events)
        self.send(StepEvents(events))

    def run(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        socket = context.socket(zmq.DEALER)
        try:
            self._connect(socket)
            self._loop(socket)
        except Exception as error:
            log.exception("the wire broke")
            self.failure = error
            with contextlib.suppress(zmq.ZMQError):  # our silence would only tell that something is wrong
                socket.send(encode(Fault(f"its connection broke: {in_words(error)}")))
        finally:
            self.stopping.set()
            socket.close()
            context.term()
            self.flushed.set()

    def _connect(self, socket: zmq.Socket[bytes]) -> None:
        socket.setsockopt(zmq.IDENTITY, self.spec.identity)
        socket.setsockopt(zmq.LINGER, 2000)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        if self.spec.curve_server_key:
            socket.curve_serverkey = self.spec.curve_server_key
            socket.curve_publickey = self.spec.curve_public_key
            socket.curve_secretkey = self.spec.curve_secret_key
        socket.connect(self.spec.endpoint)

    def _loop(self, socket: zmq.Socket[bytes]) -> None:
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(self._outbox.fd, zmq.POLLIN)
        beat_at = 0.0
        while not (self.stopping.is_set() and not self._outbox):
            longest_s = GATHER_S if self._steps.events else self.spec.heartbeat_s / 2
            ready = dict(poller.poll(int(1e3 * longest_s) if self._outbox.may_sleep() else 0))
            self._outbox.awake(self._outbox.fd in ready)
            self._send_all(socket)
            if socket in ready:
                with contextlib.suppress(zmq.Again):
                    while True:
                        self._receive(socket.recv(zmq.NOBLOCK))
            now = time.monotonic()
            if now >= beat_at:
                beat_at = now + self.spec.heartbeat_s
                socket.send(encode(self._heartbeat()))
        self._send_steps(socket)

    def _send_all(self, socket: zmq.Socket[bytes]) -> None:
        for message in self._outbox.take():
            if type(message) is StepEvents:
                if not self._steps.events:
                    self._send_by = time.monotonic() + GATHER_S
                self._steps.events += message.events  # steps that ended meanwhile share one message
                continue
            self._send_steps(socket)
            socket.send(encode(message))
        if not self._may_gather():
            self._send_steps(socket)

    def _send_steps(self, socket: zmq.Socket[bytes]) -> None:
        if self._steps.events:
            steps, self._steps = self._steps, StepEvents([])
            socket.send(encode(steps))

    def _may_gather(self) -> bool:
        """Whether nobody waits for what is done: the engine has more to begin with than what these have freed."""
        if self.spec.engine.first_tokens or self.stopping.is_set() or time.monotonic() >= self._send_by:
            return False
        return self.engine.outstanding - self.engine.running > len(self._steps.events)

    def _receive(self, frame: bytes) -> None:
        message = decode_to_worker(frame)
        if isinstance(message, Stop):
            self.stopping.set()
        elif isinstance(self.engine, Engine) and self.engine.concurrent:
            try:
                hand_over(self.engine, message if isinstance(message, Cancel) else message.requests)
            except Exception as error:
                log.exception("submit failed")
                self.send(Fault(in_words(error)))
                self.stopping.set()
        else:
            self.inbox.put(message if isinstance(message, Cancel) else message.requests)

    def _heartbeat(self) -> Heartbeat:
        engine = self.engine if self.state == "ready" else NoEngine()  # one that loads has nothing to count with yet
        outstanding, running = engine.outstanding, engine.running
        return Heartbeat(
            state=self.state,
            waiting=max(0, outstanding - running),
            running=running,
            completed=self.completed,
            tokens=max(self.tokens, engine.generated),
            progress=self.progress + self.engine.steps,
            rss_bytes=self._process.memory_info().rss,
            facts=engine.live_facts() if isinstance(engine, Engine) else {},
        )
