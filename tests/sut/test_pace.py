"""How far apart the turns of a busy thread are, in time that is made up."""

from __future__ import annotations

from sut.pace import SPARE_TURNS, TURN_S, Pace


def test_what_comes_now_and_then_waits_for_nothing() -> None:
    pace = Pace()
    for _ in range(SPARE_TURNS):
        pace.moved(100.0)
        assert pace.left_s(100.0) < 1e-9
    pace.moved(100.0)
    assert pace.left_s(100.0) > TURN_S / 2, "where many follow each other they are gathered"
    assert pace.left_s(101.0) <= 0


def test_many_turns_keep_their_distance() -> None:
    pace, now, turns = Pace(), 100.0, 0
    while now < 101.0:
        pace.moved(now)
        now = max(now + 1e-5, now + pace.left_s(now))
        turns += 1
    assert 1 / TURN_S <= turns <= 1 / TURN_S + SPARE_TURNS + 1


def test_whoever_has_enough_to_do_does_not_wait() -> None:
    pace = Pace()
    for _ in range(20):
        pace.moved(101.0)
    assert pace.left_s(101.0) > 0
    pace.moved(101.0, more=True)
    assert pace.left_s(101.0) <= 0
