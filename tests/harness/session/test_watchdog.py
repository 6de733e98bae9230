"""When a run counts as stuck, in time that the tests make up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.session.watchdog import LONGEST_STEP_S, Watchdog
from mlperf_llama_base.errors import RunError
from sut.awake import AwakeClock
from sut.hub import Hub


class Rig:
    def __init__(self, *, outstanding: int, timeout_s: float = 60.0) -> None:
        self.now = 0.0
        self.hub: Any = SimpleNamespace(events=0, outstanding=outstanding)
        clock = AwakeClock(longest_step_s=LONGEST_STEP_S, clock=lambda: self.now)
        self.watchdog = Watchdog(cast("Hub", self.hub), stall_timeout_s=timeout_s, clock=clock)

    def pass_by(self, seconds: float, *, step: float = 0.5) -> None:
        """So much time, with a look every ``step``."""
        for _ in range(round(seconds / step)):
            self.now += step
            self.watchdog.look()


def test_a_run_without_any_event_is_stuck() -> None:
    r = Rig(outstanding=3)
    r.pass_by(60)
    with pytest.raises(RunError, match=r"no progress for 6\d s with 3 samples outstanding \(stall_timeout_s = 60\)"):
        r.pass_by(2)


def test_any_event_is_progress() -> None:
    r = Rig(outstanding=3)
    for _ in range(10):
        r.pass_by(59)
        r.hub.events += 1


def test_with_nothing_outstanding_nothing_is_waited_for() -> None:
    """Server at a low rate: the next query may come in an hour."""
    r = Rig(outstanding=0)
    r.pass_by(4000, step=1.0)
    r.hub.outstanding = 1
    r.pass_by(59)


def test_a_machine_that_was_asleep_is_not_stuck() -> None:
    r = Rig(outstanding=3)
    r.pass_by(30)
    r.now += 3600
    r.pass_by(25)


def test_a_slow_look_still_comes_to_an_end() -> None:
    """A machine under such load that every look is late."""
    r = Rig(outstanding=3)
    with pytest.raises(RunError, match="no progress"):
        r.pass_by(1000, step=5.0)
