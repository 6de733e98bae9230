"""How long the turns of a busy thread are, in time that is made up."""

from __future__ import annotations

import pytest

from sut.pace import LONGEST_S, SHORTEST_S, SPARE_TURNS, Pace


def at_rate(samples_a_second: float, *, every_s: float, seconds: float = 1.0) -> Pace:
    """After turns at this rate, each so long after the last."""
    pace = Pace()
    for turn in range(int(seconds / every_s)):
        pace.moved(samples_a_second * every_s, 100 + turn * every_s)
    return pace


def test_what_comes_now_and_then_waits_for_nothing() -> None:
    pace = Pace()
    for _ in range(SPARE_TURNS):
        pace.moved(1, 100.0)
        assert pace.left_s(100.0) < 1e-9
    pace.moved(1, 100.0)
    assert pace.left_s(100.0) > SHORTEST_S / 2, "where many follow each other they are gathered"
    assert pace.left_s(101.0) <= 0


@pytest.mark.parametrize("rate", [200, 1000, 2000])
def test_at_few_a_second_a_turn_is_as_short_as_it_gets(rate: float) -> None:
    assert at_rate(rate, every_s=0.01).turn_s == SHORTEST_S


def test_at_many_a_second_turns_get_longer_up_to_a_bound() -> None:
    lengths = [at_rate(rate, every_s=0.001).turn_s for rate in (2000, 5000, 10_000, 20_000, 200_000)]
    assert lengths[0] == SHORTEST_S < lengths[1] < lengths[2] <= lengths[3] == lengths[4] == LONGEST_S


def test_a_burst_does_not_last() -> None:
    pace = at_rate(50_000, every_s=0.001)
    for turn in range(20):
        pace.moved(1, 102 + turn * 0.05)
    assert pace.turn_s == SHORTEST_S


def test_whoever_has_enough_to_do_does_not_wait() -> None:
    pace = at_rate(50_000, every_s=0.001)
    pace.moved(100, 101.0)
    assert pace.left_s(101.0) > 0
    pace.moved(100, 101.0, more=True)
    assert pace.left_s(101.0) <= 0
