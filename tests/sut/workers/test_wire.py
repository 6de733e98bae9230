"""When a worker tells what is done: at once, unless nobody waits for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sut.messages import Completion, EngineSettings, Event, Fault, StepEvents, WorkerSpec, decode_from_worker
from sut.workers import wire
from sut.workers.wire import GATHER_S, Wire


class Line:
    """A wire whose socket keeps what is sent; time stands still unless it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, first_tokens: bool, waiting: int) -> None:
        self.now = 1000.0
        monkeypatch.setattr(wire, "time", SimpleNamespace(monotonic=lambda: self.now))
        engine: Any = SimpleNamespace(outstanding=8 + waiting, running=8)
        spec = WorkerSpec(id=0, endpoint="", engine=EngineSettings(name="null", model="", first_tokens=first_tokens))
        self.wire = Wire(spec, engine)
        self.engine = engine
        self.frames: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)

    def step(self, *ids: int) -> list[Any]:
        """A step ends that has completed these. Returns what is sent."""
        events: list[Event] = [Completion(i, b"\1\0\0\0\2\0\0\0") for i in ids]
        self.wire.events(events)
        return self.go()

    def go(self) -> list[Any]:
        self.frames.clear()
        self.wire._send_all(self)  # type: ignore[arg-type]
        return [
            [event.id for event in m.events] if isinstance(m, StepEvents) else m
            for m in map(decode_from_worker, self.frames)
        ]


def test_in_offline_the_steps_of_a_while_share_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(monkeypatch, first_tokens=False, waiting=100)
    assert line.step(1, 2) == line.step(3) == []
    line.now += GATHER_S
    assert line.go() == [[1, 2, 3]]
    assert line.step(4) == []  # and a new while begins


def test_an_engine_that_could_run_dry_is_told_of_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(monkeypatch, first_tokens=False, waiting=3)
    assert line.step(1, 2) == []
    assert line.step(3) == [[1, 2, 3]]
    line.engine.outstanding = line.engine.running  # the end of the test
    assert line.step(4) == [[4]]


def test_where_latency_counts_nothing_is_kept_back(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(monkeypatch, first_tokens=True, waiting=100)
    assert line.step(1) == [[1]]


def test_what_is_kept_back_goes_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(monkeypatch, first_tokens=False, waiting=100)
    line.step(1)
    line.wire.send(Fault("broken"))
    done, fault = line.go()
    assert done == [1] and isinstance(fault, Fault)
    line.step(2)
    line.wire.stopping.set()
    assert line.go() == [[2]]
