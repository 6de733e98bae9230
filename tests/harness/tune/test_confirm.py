"""The step down after a refused confirmation follows from that run's own record."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.config import Scenario
from harness.rundir.tuning import Confirmation
from harness.tune import confirm
from harness.tune import model as models
from harness.tune.confirm import MOST_LOWER, Watch, excess, learn, lower
from harness.tune.playback import Player, arrivals, play
from harness.tune.state import Options, State
from qsl.synthetic import lengths
from sut.policies import Sample
from sut.record import SampleRecord
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


def played(found: State, *, knee: float, hold: float) -> State:
    """With a model that has played the refused run."""
    times = StepTimes(a_ms=4.8, c_us=31, p_us=13.6)
    found.record.model = models.new(models.Engines(), times, outputs=np.full(8, 128))
    found.record.model.knee_qps, found.record.model.hold_qps = knee, hold
    return found


def test_a_run_that_ended_early_is_judged_by_its_arrivals_played_and_not_by_how_many_were_over(tmp_path: Path) -> None:
    """LoadGen's first thousand queries come 5.5 % faster than the rate asked: a third of them may be over a limit."""
    run = refused(over=300, queries=1300)
    run.expected = 40_000
    found = played(state(tmp_path, run), knee=50.6, hold=50.0)
    lower(found, Options())
    assert found.record.best_qps == pytest.approx(50.0, rel=1e-4)


def test_a_run_that_came_to_its_end_is_judged_by_both(tmp_path: Path) -> None:
    run = refused(over=728, queries=40_000)  # twice the share allowed: LoadGen's schedule is less lucky than the seeds
    run.expected = 40_000
    found = played(state(tmp_path, run), knee=51.0, hold=50.2)
    lower(found, Options())
    assert found.record.best_qps == pytest.approx(50.24 * (1 - 0.022 * np.log(2)), rel=1e-4)


def test_a_model_that_would_repeat_the_run_gives_way_to_the_tolerance(tmp_path: Path) -> None:
    run = refused(over=40, queries=1300)
    run.expected = 40_000
    found = played(state(tmp_path, run), knee=52.0, hold=51.5)
    lower(found, Options(tolerance=0.01))
    assert found.record.best_qps == pytest.approx(50.24 * 0.995, rel=1e-4)


SLOW = StepTimes(a_ms=48, c_us=310, p_us=136)


def ran(*, pace: float, rate: float = 4.8, queries: int = 1200) -> Any:
    """A session after a run of LoadGen's on a card of that pace."""
    sizes = lengths(queries, seed=0)
    at = arrivals(rate, count=queries, seed=1)
    found = play(Player(times=SLOW, pace=pace), arrival_ms=at, lengths=sizes)
    record = SampleRecord()
    for i, (issue, ttft, tpot) in enumerate(zip(at, found.ttft_ms, found.tpot_ms, strict=True)):
        first = issue + ttft
        sample = Sample(i << 40, i, int(sizes[i]), int(1e6 * issue), first_ns=int(1e6 * first), worker=0)
        record.add([sample], [bytes(512)], int(1e6 * (first + 127 * tpot)))
    benchmark = SimpleNamespace(sample_count=512)
    return SimpleNamespace(
        hub=SimpleNamespace(record=record, in_flight=list),
        lengths=sizes,
        config=SimpleNamespace(scenario=Scenario.INTERACTIVE, benchmark=benchmark),
        journal=SimpleNamespace(expected=queries),
    )


def test_a_refused_run_is_played_and_the_knee_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The card is 3 % slower than the probes had said: it was cold."""

    @contextmanager
    def here() -> Any:
        yield map

    monkeypatch.setattr(confirm, "processes", here)
    monkeypatch.setattr(confirm, "load_of", lambda session: LOAD)
    monkeypatch.setattr(models, "THOROUGH", range(6))
    monkeypatch.setattr(models, "FOR_CURVE", range(1))
    run = refused(over=40, queries=1200)
    run.target_qps = 4.8
    found = played(state(tmp_path, run), knee=4.95, hold=4.8)
    assert found.record.model
    models.set_times(found.record.model, SLOW)
    found.record.best_qps = 4.8
    learn(ran(pace=1.03), found, run)
    assert found.record.model.pace == pytest.approx(1.03, rel=0.005)
    assert [c.source for c in found.record.model.corrections] == ["confirm-1"]
    assert found.record.knee_qps == found.record.model.knee_qps
    before = found.record.best_qps
    lower(found, Options())
    assert found.record.best_qps is not None
    assert found.record.best_qps < before


LOAD = models.Load(lengths=lengths(512, seed=0), limits_ms=(5000, 300), samples=512)


def test_a_run_of_too_few_queries_is_left_to_loadgen() -> None:
    """Of 128 queries none may be over a limit, which is no reason to end the run at its first."""
    session = ran(pace=1.0, rate=1.0, queries=128)
    session.config.scenario = Scenario.SERVER
    assert Watch(session).look() is None
