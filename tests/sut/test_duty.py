"""A thread's share of work, in time that is made up."""

from __future__ import annotations

from sut.duty import Duty


def test_what_is_not_slept_is_work() -> None:
    times = iter([0.0, 10.0, 20.0, 30.0, 40.0])
    duty = Duty(clock=lambda: next(times))
    duty.slept(2.5)
    assert duty.share == 0.75
    duty.restart()  # at 20
    assert duty.share == 1.0
    duty.slept(50)  # never below nothing, whatever the clock's steps
    assert duty.share == 0.0
