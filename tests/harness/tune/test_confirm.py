"""The step down after a refused confirmation follows from that run's own record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.rundir.tuning import Confirmation
from harness.tune.confirm import MOST_LOWER, excess, lower
from harness.tune.playback import Player, arrivals, play
from harness.tune.state import Options, State
from qsl.synthetic import lengths
from sut.steps import StepTimes

SHARE = 0.0091  # of the queries over a limit, allowed in 600 s


def refused(*, over: int, queries: int, limited_by: str = "TPOT") -> Confirmation:
    return Confirmation(
        directory="confirm-1",
        full_length=True,
        valid=False,
        queries=queries,
        over=over,
        allowed_share=SHARE,
        limited_by=limited_by,
        duration_s=600,
    )


def state(folder: Path, *runs: Confirmation, scenario: str = "interactive") -> State:
    found = State.new(folder, scenario=scenario, options=Options())
    found.record.best_qps = 50.24
    found.record.confirmations = list(runs)
    return found


def test_a_run_that_missed_by_little_is_followed_by_one_a_little_lower(tmp_path: Path) -> None:
    found = state(tmp_path, refused(over=260, queries=15_000))
    lower(found, Options())
    assert found.record.best_qps is not None
    assert 0.97 < found.record.best_qps / 50.24 < 0.99  # twice the queries allowed


def test_each_refusal_asks_for_at_least_half_the_tolerance_and_twice_that_again(tmp_path: Path) -> None:
    for count, step in ((1, 0.005), (2, 0.01), (3, 0.02)):
        found = state(tmp_path, *[refused(over=137, queries=15_000)] * count)
        lower(found, Options(tolerance=0.01))
        assert found.record.best_qps == pytest.approx(50.24 * (1 - step), rel=1e-4)


def test_a_hopeless_run_does_not_throw_the_rate_away(tmp_path: Path) -> None:
    found = state(tmp_path, refused(over=900, queries=1000))
    lower(found, Options())
    assert found.record.best_qps == pytest.approx(50.24 * (1 - MOST_LOWER), rel=1e-4)


def test_offline_goes_up_as_its_run_was_too_short(tmp_path: Path) -> None:
    found = state(tmp_path, refused(over=0, queries=1000), scenario="offline")
    lower(found, Options())
    assert found.record.best_qps == pytest.approx(50.24 * 1.05, rel=1e-4)


@pytest.mark.parametrize("rate", [52.5, 53.0, 54.0])
def test_from_a_refused_run_straight_to_the_knee_of_an_h100(rate: float) -> None:
    """Long runs of many arrival seeds in virtual time: the knee is where they have the share allowed, at 51.5 q/s."""
    player = Player(times=StepTimes(a_ms=4.8, c_us=31, p_us=13.6))
    sizes, count = lengths(13_368, seed=0), int(600 * rate)
    over = 0
    for seed in range(4):
        order = np.random.default_rng(seed + 99).integers(0, len(sizes), count)
        found = play(player, arrival_ms=arrivals(rate, count=count, seed=seed), lengths=sizes[order])
        over += int((found.tpot_ms > 30).sum())
    knee = rate * (1 - excess(refused(over=over, queries=4 * count)))
    assert knee == pytest.approx(51.5, rel=0.01)
