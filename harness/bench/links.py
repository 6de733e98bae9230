"""What a link costs the thread that dispatches: the real hub and its real sockets, and processes that stand in for
many workers each, which no small machine could hold.

A stand-in answers at once, and tells of so many answers in a message as an engine's steps would give it. What is
measured is the CPU of the hub's thread and of the whole process, while the hub has always something to do. LoadGen is
not there: its calls come on top (:mod:`harness.bench.overhead` has them).
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq

from harness.session.outcome import cpu_seconds
from mlperf_llama_base import child, typed
from mlperf_llama_base.errors import RunError
from mlperf_llama_base.orphans import die_with_parent
from qsl.synthetic import lengths
from sut.dispatcher import Dispatcher
from sut.hub import Hub
from sut.messages import (
    Completion,
    EngineInfo,
    EngineSettings,
    Event,
    Heartbeat,
    Hello,
    Ready,
    StepEvents,
    Submit,
    WorkerSpec,
    decode_to_worker,
    encode,
)
from sut.policies import make_order, make_policy
from sut.supervisor import SupervisorOptions
from sut.workers.base import Exit, WorkerPool

BLOCK = 2000
CAPACITY = 64  # of a stand-in's engine; with the backlog, what waits on each link
EOS = 128009
ANSWER = np.array([*range(1, 128), EOS], "<i4").tobytes()
BEAT_S = 1.0
START_S = 60.0


class Cost(msgspec.Struct, kw_only=True):
    """us of CPU a sample: of the hub's thread, and of its process without it (ZeroMQ's thread above all)."""

    links: int
    answers: int
    samples: int
    samples_per_second: float
    hub_us: float
    other_us: float


class StandIns(WorkerPool):
    """Starts nothing until all ``links`` are known; then a process holds them all."""

    def __init__(self, directory: Path, *, links: int, answers: int) -> None:
        self._directory, self._links, self._answers = directory, links, answers
        self.specs: list[WorkerSpec] = []
        self._process: child.Child | None = None

    def start(self, spec: WorkerSpec) -> None:
        self.specs.append(msgspec.structs.replace(spec))
        if len(self.specs) == self._links:
            self._open()

    def _open(self) -> None:
        (self._directory / "specs").write_bytes(msgspec.msgpack.encode(self.specs))
        log = self._directory / "stand-ins.log"
        self._process = child.start("harness.bench.links", self._directory, str(self._answers), log=log)

    def exits(self) -> list[Exit]:
        if self._process is None or self._process.poll() is None:
            return []
        log = (self._directory / "stand-ins.log").read_text(errors="replace").strip().splitlines()
        raise RunError(f"the process that stands in has ended: {log[-1] if log else 'it left no word'}")

    def kill(self, worker: int) -> None:
        """It is not one process."""

    def close(self, grace_s: float) -> None:
        if self._process:
            child.end(self._process, grace_s=grace_s, ask=False)
            child.clean_up(self._process)


def measure(*, links: int, answers: int, samples: int) -> Cost:
    """Dispatch ``samples`` over ``links``, with ``answers`` in a message. Raises ``RunError`` if they do not come."""
    with tempfile.TemporaryDirectory() as name:
        pool = StandIns(Path(name), links=links, answers=answers)
        hub = Hub(deliver=lambda first, done: None, specs=specs(links), **arguments(pool, Path(name) / "wire"))
        hub.start()
        try:
            _until(hub, lambda: hub.ready == links)
            return _run(hub, links, answers, samples)
        finally:
            hub.stop()
            pool.close(1.0)


def _run(hub: Hub, links: int, answers: int, samples: int) -> Cost:
    clock = time.pthread_getcpuclockid(hub.ident or 0)
    began, own, whole = time.perf_counter(), time.clock_gettime(clock), cpu_seconds()
    hub.issue([(number, number % BLOCK) for number in range(samples)])
    _until(hub, lambda: hub.dispatcher.completed == samples, seconds=600.0)
    took, own, whole = time.perf_counter() - began, time.clock_gettime(clock) - own, cpu_seconds() - whole
    return Cost(
        links=links,
        answers=answers,
        samples=samples,
        samples_per_second=samples / took,
        hub_us=1e6 * own / samples,
        other_us=1e6 * (whole - own) / samples,
    )


def specs(links: int) -> list[WorkerSpec]:
    """Of the stand-ins."""
    settings = EngineSettings(name="null", model="", first_tokens=False)
    return [WorkerSpec(id=number, endpoint="", engine=settings) for number in range(links)]


def arguments(pool: StandIns, socket: Path) -> dict[str, Any]:
    """What a hub of stand-ins is made with."""
    sizes = lengths(BLOCK, seed=0).tolist()
    prompts = [np.full(size, 7, "<i4").tobytes() for size in sizes]
    return {
        "dispatcher": Dispatcher(
            policy=make_policy("auto", offline=True, backlog=128, prefill_weight=8.0),
            order=make_order("issue"),
            block=BLOCK,
            max_attempts=2,
            first_tokens=False,
        ),
        "pool": pool,
        "prompts": prompts.__getitem__,
        "lengths": sizes,
        "options": SupervisorOptions(),
        "bind": f"ipc://{socket}",
    }


def _until(hub: Hub, condition: Any, *, seconds: float = START_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if hub.failure:
            raise hub.failure
        if time.monotonic() > deadline:
            raise RunError(f"{hub.ready} of {len(hub.workers)} stand-ins are ready, {hub.dispatcher.completed} answers")
        time.sleep(0.05)


# -- the process that stands in --------------------------------------------------------------------------------------


def stand_in(directory: Path, answers: int) -> None:
    """Be all the workers whose specs lie in ``directory``, until killed."""
    specs = typed.from_msgpack((directory / "specs").read_bytes(), list[WorkerSpec])
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 2 * len(specs) + 16)
    poller = zmq.Poller()
    sockets: list[zmq.Socket[bytes]] = []
    for spec in specs:
        socket = context.socket(zmq.DEALER)
        for option, value in ((zmq.IDENTITY, spec.identity), (zmq.SNDHWM, 0), (zmq.RCVHWM, 0)):
            socket.setsockopt(option, value)
        socket.connect(spec.endpoint)
        info = EngineInfo(name="stand-in", version="1", capacity=CAPACITY, eos_token_ids=[EOS], vocab_size=128256)
        socket.send(encode(Hello(0, "here")))
        socket.send(encode(Ready(info, 0.0, 0.0)))
        poller.register(socket, zmq.POLLIN)
        sockets.append(socket)
    beat_at, done = 0.0, 0
    while True:
        for socket, _ in poller.poll(100):
            done += _answer(socket, answers)
        if time.monotonic() >= beat_at:
            beat_at = time.monotonic() + BEAT_S
            for socket in sockets:
                socket.send(encode(Heartbeat(state="ready", progress=done)))


def _answer(socket: Any, answers: int) -> int:
    message = decode_to_worker(socket.recv())
    if not isinstance(message, Submit):
        return 0
    events: list[Event] = [Completion(request.id, ANSWER) for request in message.requests]
    for start in range(0, len(events), answers):
        socket.send(encode(StepEvents(events[start : start + answers])))
    return len(events)


if __name__ == "__main__":
    die_with_parent(child.parent())
    stand_in(Path(sys.argv[1]), int(sys.argv[2]))
