"""Runs of full length with many seeds, played: each has a rate of its own, and their middle is the knee."""

from __future__ import annotations

import numpy as np
import pytest

from harness.tune.long_runs import WIDTH, Setting, at_rates, limits, long_run
from harness.tune.playback import Player, arrivals, play
from harness.tune.pool import play_pool
from sut.steps import StepTimes
from tests.harness.tune.machine import SIZES

SLOW = StepTimes(a_ms=48, c_us=310, p_us=136)  # ten times an H100's, and as quickly played
PLAYER = Player(times=SLOW)


def setting(*players: Player) -> Setting:
    outputs = np.array([128], dtype=np.int32)
    return Setting(players=players, lengths=SIZES, outputs=outputs, limits_ms=(5000, 300), samples=512)


def test_a_seed_holds_up_to_its_rate_and_no_further() -> None:
    found = limits(setting(PLAYER), guess=4.5, seeds=range(3))
    for limit in found:
        assert long_run(setting(PLAYER), rate=limit.rate * (1 - WIDTH), seed=limit.seed).valid
        assert not long_run(setting(PLAYER), rate=limit.rate * (1 + WIDTH), seed=limit.seed).valid
        assert limit.limited_by == "TPOT"


def test_a_known_seed_is_found_again_with_less_playing() -> None:
    first = limits(setting(PLAYER), guess=5.0, seeds=range(2))
    known = {limit.seed: limit.rate / 5.0 for limit in first}
    again = limits(setting(PLAYER), guess=5.0, seeds=range(2), known=known)
    assert [limit.rate for limit in again] == pytest.approx([limit.rate for limit in first], rel=2 * WIDTH)
    assert sum(limit.hours for limit in again) < sum(limit.hours for limit in first)


def test_slower_steps_hold_less() -> None:
    system = setting(PLAYER)
    usual, slower = (limits(s, guess=5.0, seeds=range(2)) for s in (system, system.at_pace(1.05)))
    assert all(b.rate < 0.96 * a.rate for a, b in zip(usual, slower, strict=True))


def test_a_run_has_the_queries_of_whole_rounds() -> None:
    run = long_run(setting(PLAYER), rate=4.0, seed=0)
    assert run.queries == 5 * 512  # 600 s at 4/s are 2,400


def test_rates_are_played_with_the_same_seeds() -> None:
    found = at_rates(setting(PLAYER), rates=[4.0, 6.0], seeds=range(2))
    assert {rate: len(runs) for rate, runs in found.items()} == {4.0: 2, 6.0: 2}
    assert all(a.p99_ms[1] < b.p99_ms[1] for a, b in zip(found[4.0], found[6.0], strict=True))


def test_one_engine_behind_the_dispatcher_is_one_engine() -> None:
    at, sizes, outputs = arrivals(4.0, count=300, seed=1), SIZES[:300], np.full(300, 128, dtype=np.int32)
    alone = play(PLAYER, arrival_ms=at, lengths=sizes, outputs=outputs)
    pooled = play_pool([PLAYER], arrival_ms=at, lengths=sizes, outputs=outputs)
    assert pooled.ttft_ms == pytest.approx(alone.ttft_ms)
    assert pooled.tpot_ms == pytest.approx(alone.tpot_ms)


def test_two_engines_hold_more_than_twice_what_one_does() -> None:
    """Of two, the one that a burst has not hit takes the next query."""
    one = limits(setting(PLAYER), guess=5.0, seeds=range(2))
    two = limits(setting(PLAYER, PLAYER), guess=10.0, seeds=range(2))
    assert sum(limit.rate for limit in two) > 2 * sum(limit.rate for limit in one)


def test_a_slow_engine_among_two_gets_less_and_costs_less_than_half() -> None:
    slow = Player(times=SLOW, pace=1.5)
    equal, unequal = (
        limits(setting(*players), guess=9.0, seeds=range(1))[0].rate for players in ((PLAYER, PLAYER), (PLAYER, slow))
    )
    assert 0.5 * equal < unequal < 0.95 * equal
