"""The barrier: many members, slow ways, late orders, members that die. Each handle is a stand-in with a clock and a way
of its own; the sessions behind it are the real ones' barrier on a real directory."""

from __future__ import annotations

import functools
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from harness.scaling.crew import Crew
from harness.scaling.member import MemberState
from harness.scaling.members import Handle
from harness.scaling.start import Scattered, start_together
from harness.session import barrier
from mlperf_llama_base.errors import EnvironmentFault, RunError


class Simulated(Handle):
    """``way_s``: how long a call takes there and as long back; ``ahead_s``: its clock; ``late_s``: more, by method."""

    def __init__(self, name: str, folder: Path, *, way_s: float = 0.0, ahead_s: float = 0.0) -> None:
        self.name = name
        self.folder = folder
        self.way_s, self.ahead_s = way_s, ahead_s
        self.late_s: dict[str, list[float]] = {}
        self.broken: dict[str, str] = {}
        folder.mkdir()
        (folder / barrier.HOLD).touch()

    def call(self, method: str, *arguments: Any) -> Any:
        time.sleep(self.way_s + (self.late_s[method].pop(0) if self.late_s.get(method) else 0.0))
        if method in self.broken:
            raise RunError(self.broken[method])
        answer = getattr(self, f"on_{method}")(*arguments)
        time.sleep(self.way_s)
        return answer

    def fetch(self, folder: Path) -> None:
        raise NotImplementedError

    def on_now(self) -> float:
        return time.time() + self.ahead_s

    def on_go(self, at: float, before: float) -> bool:
        if time.time() + self.ahead_s > before:
            return False
        barrier.release(self.folder, at - self.ahead_s)  # the directory is one of this machine
        return True

    def on_recall(self) -> bool:
        return barrier.recall(self.folder)

    def on_state(self) -> MemberState:
        return MemberState(phase="ready")

    def on_stop(self) -> None:
        pass

    @property
    def at(self) -> float | None:
        path = self.folder / barrier.GO
        return float(path.read_text()) if path.exists() else None


def crew_of(folder: Path, count: int, **how: Any) -> tuple[Crew, list[Simulated]]:
    members = [Simulated(f"n{i}", folder / f"n{i}", **how) for i in range(count)]
    crew = Crew([m.name for m in members])
    crew.each_start({m.name: functools.partial(next, iter([m])) for m in members})
    return crew, members


def test_64_members_are_told_the_same_moment_each_by_its_own_clock(tmp_path: Path) -> None:
    crew, members = crew_of(tmp_path, 64, way_s=0.02)
    for number, member in enumerate(members):
        member.ahead_s = (number - 32) * 10.0
    crew.until_ready(10)
    clocks = start_together(crew)
    crew.stop()
    assert len(clocks) == 64 and crew.left == [m.name for m in members]
    for member in members:
        clock = clocks[member.name]
        assert abs(clock.offset_s - member.ahead_s) <= clock.shortest_s / 2  # what a round trip can tell
        assert member.at == pytest.approx(crew.started, abs=clock.shortest_s / 2 + 1e-3)


def test_an_order_that_comes_late_is_called_back_and_given_again(tmp_path: Path) -> None:
    crew, members = crew_of(tmp_path, 8)
    members[5].late_s["go"] = [0.8]
    began: list[str] = []
    sessions = [threading.Thread(target=session, args=(m, began), daemon=True) for m in members]
    for thread in sessions:
        thread.start()
    start_together(crew, least_s=0.4)
    assert began == []  # the first order had gone to seven of them
    for thread in sessions:
        thread.join(10)
    crew.stop()
    assert len(began) == 8 and crew.started is not None
    assert {m.at == pytest.approx(crew.started, abs=0.01) for m in members} == {True}


def session(member: Simulated, began: list[str]) -> None:
    class Holding:
        def hold(self) -> None:
            time.sleep(0.01)

    barrier.wait(Holding(), member.folder)
    began.append(member.name)


def test_a_member_that_cannot_be_called_back_scatters_the_start(tmp_path: Path) -> None:
    crew, members = crew_of(tmp_path, 3)
    members[0].late_s["go"] = [2.0]
    members[1].late_s["recall"] = [1.0]
    with pytest.raises(Scattered, match="n1 had begun"):
        start_together(crew, least_s=0.3)
    crew.stop()


def test_one_that_dies_at_the_barrier_is_out_and_the_others_begin(tmp_path: Path) -> None:
    crew, members = crew_of(tmp_path, 3)
    members[2].broken["go"] = "n2 does not answer: its node has died"
    start_together(crew)
    crew.stop()
    assert crew.left == ["n0", "n1"]
    out = crew.outcomes["n2"]
    assert (out.status, out.at_s) == ("never started", None) and "its node has died" in str(out.error)
    assert members[2].at is None and members[0].at == pytest.approx(crew.started, abs=0.01)


def test_nobody_left_names_who_and_why(tmp_path: Path) -> None:
    crew, members = crew_of(tmp_path, 2)
    for member in members:
        member.broken["now"] = "the node has died"
    with pytest.raises(EnvironmentFault, match=r"n0: the node has died \(nor did the 1 other members\)"):
        start_together(crew)
    crew.stop()
