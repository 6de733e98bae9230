"""Who gets how many: levelled by weight, never beyond what a share may have, never more than there are."""

from __future__ import annotations

import random

import pytest

from sut.front.split import AT_ONCE, portions, split


@pytest.mark.parametrize(
    ("waiting", "held", "weights", "most", "given"),
    [
        (100, [0, 0], [1, 1], [500, 500], [50, 50]),
        (100, [40, 0], [1, 1], [500, 500], [30, 70]),
        (100, [400, 0, 0], [1, 1, 1], [500, 500, 500], [0, 50, 50]),  # one that has more than its part waits
        (90, [0, 0], [1, 2], [500, 500], [30, 60]),
        (1000, [90, 0], [1, 1], [100, 100], [10, 100]),  # the rest waits on
        (10, [0, 0], [0, 1], [0, 50], [0, 10]),  # not ready yet, or gone
        (10, [0, 0], [0, 0], [0, 0], [0, 0]),
        (0, [3, 0], [1, 1], [9, 9], [0, 0]),
    ],
)
def test_shares_are_levelled(
    waiting: int, held: list[int], weights: list[float], most: list[int], given: list[int]
) -> None:
    assert split(waiting, held, weights, most, turn=0) == given


def test_single_samples_go_round_where_all_are_equal() -> None:
    assert [split(1, [0, 0, 0], [1, 1, 1], [9, 9, 9], turn=turn) for turn in range(3)] == [
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
    ]


def test_whatever_is_asked_no_share_gets_too_much_and_nothing_waits_without_need() -> None:
    chance = random.Random(1)
    for turn in range(2000):
        count = chance.randrange(1, 6)
        most = [chance.choice([0, 1, 10, 100]) for _ in range(count)]
        held = [chance.randrange(0, 120) for _ in range(count)]
        weights = [chance.choice([0.5, 1.0, 3.0]) if m else 0.0 for m in most]
        waiting = chance.randrange(0, 300)
        given = split(waiting, held, weights, most, turn=turn)
        assert min(given) >= 0 and sum(given) <= waiting
        assert all(g == 0 or h + g <= m for g, h, m in zip(given, held, most, strict=True))
        if waiting and any(m > h for m, h in zip(most, held, strict=True)):
            assert sum(given) > 0


def test_a_share_has_more_than_its_workers_may_hold_and_gets_it_in_lots() -> None:
    assert portions(10**6, [0, 0], [80_000, 800], [0, 0], turn=0) == [AT_ONCE, 1000]
    assert portions(10**6, [81_100, 900], [80_000, 800], [0, 0], turn=0) == [0, 100]
    assert portions(10**6, [81_000, 901], [80_000, 800], [0, 0], turn=0) == [1048, 0]


def test_the_last_samples_are_spread_by_speed() -> None:
    assert portions(300, [0, 0], [500, 500], [0.1, 0.2], turn=0) == [100, 200]
    assert portions(300, [0, 0, 0], [500, 500, 500], [0.1, 0.0, 0.1], turn=0) == [100, 100, 100]  # a new one is usual
