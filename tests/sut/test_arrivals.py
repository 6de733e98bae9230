"""When samples were due, reckoned from the schedule and from when they came."""

from __future__ import annotations

from sut.arrivals import TOLERANCE_NS, Arrivals

MS = 1_000_000


def test_without_a_schedule_it_is_when_they_came() -> None:
    a = Arrivals()
    assert a.take([500, 500]) == [500, 500]


def test_what_came_late_and_all_at_once_was_due_before() -> None:
    """Twenty seconds in which nobody ran."""
    a = Arrivals([0, 10 * MS, 20 * MS, 5000 * MS, 19_000 * MS])
    assert a.take([100 * MS]) == [100 * MS]
    assert a.take([111 * MS]) == [110 * MS]
    assert a.take([20_100 * MS, 20_100 * MS, 20_100 * MS]) == [120 * MS, 5100 * MS, 19_100 * MS]


def test_a_first_sample_that_came_late_is_found_out() -> None:
    a = Arrivals([0, 10 * MS, 20 * MS])
    a.take([103 * MS])
    assert a.take([110 * MS]) == [110 * MS]
    assert a.take([121 * MS]) == [120 * MS]


def test_a_schedule_that_nobody_follows_is_dropped() -> None:
    a = Arrivals([0, 10 * MS, 10 * MS + 2 * TOLERANCE_NS, 10 * MS + 3 * TOLERANCE_NS])
    a.take([0])
    assert a.take([11 * MS, 11 * MS]) == [11 * MS, 11 * MS]
    assert a.take([900 * MS]) == [900 * MS]


def test_more_than_was_expected_came() -> None:
    a = Arrivals([0])
    assert a.take([5]) == [5]
    assert a.take([9]) == [9]
