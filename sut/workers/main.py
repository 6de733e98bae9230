"""The worker process: an engine in the main thread, the wire in another.

Two threads, so that a long engine step delays neither a heartbeat nor the acceptance of new samples. The socket belongs
to the wire thread alone; the engine's events reach it through a deque and an eventfd.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import sys
import threading
import time
from collections import deque
from pathlib import Path
from queue import Empty, SimpleQueue

import msgspec
import numpy as np
import psutil
import zmq

from mlperf_llama_base.errors import EnvironmentFault, HarnessError, UserError
from mlperf_llama_base.orphans import die_with_parent, die_with_pipe
from sut import engines
from sut.engines.base import Engine, IntArray
from sut.messages import (
    Completion,
    Event,
    Fault,
    FromWorker,
    Heartbeat,
    Hello,
    Ready,
    Request,
    StepEvents,
    Stop,
    WorkerSpec,
    decode_to_worker,
    encode,
)
from sut.workers import numa
from sut.workers.devices import gpu_name

log = logging.getLogger("worker")
WARM_UP_TOKEN_LIMIT = 10_000  # ordinary words in every vocabulary in use; special ids lie at the ends


class Wire(threading.Thread):
    """Owns the DEALER socket: receives work, sends events, beats."""

    def __init__(self, spec: WorkerSpec, engine: Engine | _NoEngine) -> None:
        super().__init__(name="wire", daemon=True)
        self.spec = spec
        self.engine = engine
        self.inbox: SimpleQueue[list[Request]] = SimpleQueue()
        self.stopping = threading.Event()
        self.flushed = threading.Event()
        self.state = "loading"
        self.completed = self.tokens = self.progress = 0
        self._outbox: deque[FromWorker] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._process = psutil.Process()

    def send(self, message: FromWorker) -> None:
        """Queue a message; any thread may call."""
        self._outbox.append(message)
        os.eventfd_write(self._wake, 1)

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
        socket.setsockopt(zmq.IDENTITY, f"{self.spec.id}:{self.spec.incarnation}".encode())
        socket.setsockopt(zmq.LINGER, 2000)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        if self.spec.curve_server_key:
            socket.curve_serverkey = self.spec.curve_server_key
            socket.curve_publickey = self.spec.curve_public_key
            socket.curve_secretkey = self.spec.curve_secret_key
        socket.connect(self.spec.endpoint)
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(self._wake, zmq.POLLIN)
        beat_at = 0.0
        while True:
            ready = dict(poller.poll(int(self.spec.heartbeat_s * 500)))
            if self._wake in ready:
                os.eventfd_read(self._wake)
            self._send_all(socket)
            if socket in ready:
                with contextlib.suppress(zmq.Again):
                    while True:
                        self._receive(socket.recv(zmq.NOBLOCK))
            now = time.monotonic()
            if now >= beat_at:
                beat_at = now + self.spec.heartbeat_s
                socket.send(encode(self._heartbeat()))
            if self.stopping.is_set() and not self._outbox:
                break
        socket.close()
        context.term()
        self.flushed.set()

    def _send_all(self, socket: zmq.Socket[bytes]) -> None:
        while self._outbox:
            message = self._outbox.popleft()
            # steps that ended meanwhile share one message
            while type(message) is StepEvents and self._outbox and type(self._outbox[0]) is StepEvents:
                message.events.extend(self._outbox.popleft().events)  # type: ignore[union-attr]
            socket.send(encode(message))

    def _receive(self, frame: bytes) -> None:
        message = decode_to_worker(frame)
        if isinstance(message, Stop):
            self.stopping.set()
        elif isinstance(self.engine, Engine) and self.engine.concurrent:
            try:
                self.engine.submit(message.requests)
            except Exception as error:
                log.exception("submit failed")
                self.send(Fault(f"{type(error).__name__}: {error}"))
                self.stopping.set()
        else:
            self.inbox.put(message.requests)

    def _heartbeat(self) -> Heartbeat:
        outstanding = self.engine.outstanding
        running = self.engine.running
        return Heartbeat(
            state=self.state,
            waiting=max(0, outstanding - running),
            running=running,
            completed=self.completed,
            tokens=self.tokens,
            progress=self.progress + self.engine.steps,
            rss_bytes=self._process.memory_info().rss,
            facts=self.engine.live_facts() if self.state == "ready" and isinstance(self.engine, Engine) else {},
        )


def serve(spec: WorkerSpec) -> int:
    """Load the engine, say so, and work until told to stop. Returns the exit status."""
    numa_nodes = numa.pin(spec.gpus) if spec.pin_numa else []
    try:
        engine = engines.create(spec.engine)
    except HarnessError as error:
        log.error("%s", error)
        engine = None
        failure = error
    wire = Wire(spec, engine or _NoEngine())
    wire.start()
    node = os.environ.get("MLPERF_LLAMA_NODE") or platform.node()
    wire.send(Hello(os.getpid(), node, gpu_name(spec.gpus[0]) if spec.gpus else None, numa_nodes))
    status = 1
    try:
        if engine is None:
            raise failure
        started = time.monotonic()
        info = engine.load()
        loaded = time.monotonic()
        log.info("engine %s %s loaded in %.1f s", info.name, info.version, loaded - started)
        engine.warm_up(_warm_up_prompts(spec, info.vocab_size))
        warm = time.monotonic()
        wire.state = "ready"
        wire.send(Ready(info, loaded - started, warm - loaded))
        work(engine, wire)
        status = 0
    except (UserError, EnvironmentFault) as error:
        log.error("%s", error)
        wire.send(Fault(str(error), exit_code=error.exit_code))
    except Exception as error:
        log.exception("the engine broke")
        wire.send(Fault(" ".join(f"{type(error).__name__}: {error}".split())[:500]))
    finally:
        wire.stopping.set()
        with contextlib.suppress(Exception):
            if engine is not None:
                engine.close()
        wire.send(StepEvents([]))
        wire.flushed.wait(3)
    return status


def work(engine: Engine, wire: Wire) -> None:
    """The engine's loop: take what came, do a step, hand over what it gave."""
    while not wire.stopping.is_set():
        if not engine.concurrent:
            with contextlib.suppress(Empty):
                engine.submit(wire.inbox.get(timeout=0.0 if engine.outstanding else 0.2))
                while True:
                    engine.submit(wire.inbox.get_nowait())
            if not engine.outstanding:
                continue
        events = engine.poll(0.2)
        if not engine.concurrent:
            engine.steps += 1
        if events:
            wire.events(events)


def _warm_up_prompts(spec: WorkerSpec, vocab_size: int | None) -> list[IntArray]:
    """Random ids, no data of the benchmark: nothing of the evaluation set may be seen before the clock starts."""
    high = min(vocab_size or WARM_UP_TOKEN_LIMIT, WARM_UP_TOKEN_LIMIT)
    random = np.random.default_rng(0)
    return [random.integers(min(100, high - 1), high, n).astype(np.int32) for n in spec.warm_up_lengths]


class _NoEngine:
    """Stands in on the wire of a worker whose engine could not even be built."""

    concurrent = False
    outstanding = running = steps = 0


def main() -> None:
    size = int.from_bytes(sys.stdin.buffer.read(4), "little")
    spec = msgspec.msgpack.decode(sys.stdin.buffer.read(size), type=WorkerSpec)
    die_with_parent()
    die_with_pipe(sys.stdin.buffer)
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s worker {spec.id} %(name)s %(levelname)s %(message)s")
    if spec.cache_dir:
        Path(spec.cache_dir).mkdir(parents=True, exist_ok=True)
        for name in ("VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
            os.environ.setdefault(name, str(Path(spec.cache_dir) / name.lower()))
    # Read by OpenMP when torch loads it. Threads that spin while they wait take the cores from those they wait for as
    # soon as anything else runs on the machine; on an idle one it makes no difference
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    status = serve(spec)
    logging.shutdown()
    os._exit(status)  # an engine's own threads and atexit hooks must not keep the process


if __name__ == "__main__":
    main()
