"""The search through an engine's steps, against cards in virtual time that differ from its form, and their true knee.

The cards are ten times slower than an H100 under limits ten times as long, so that ten minutes are played in no time.
``tests.harness.tune.compare`` does the same at an H100's speed, for docs/tuning.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.config import Scenario
from harness.rundir.tuning import Correction, Found, Model
from harness.tune import by_model
from harness.tune import model as models
from harness.tune.state import Options
from sut.steps import StepSums, StepTimes
from tests.harness.tune.machine import GRAPHS, Card, Machine

pytestmark = pytest.mark.timeout(240)

SLOW = StepTimes(a_ms=48, c_us=310, p_us=136)
OPTIONS = Options(probe_seconds=200)
SEEDS = range(12)
CARDS: dict[str, dict[str, Any]] = {
    "drift": {"noise": 0.03, "drift": 0.02, "drift_s": 1200.0},
    "shape": {"noise": 0.03, "graphs": GRAPHS, "beyond_ms": 25.0, "bend": 3.0},
    "held": {"noise": 0.03, "held_ms": 290.0},
}


def machine(scenario: Scenario, seed: int = 0, *, late: bool = False, **card: Any) -> Machine:
    return Machine(card=Card(times=SLOW, **card), scenario=scenario, seed=seed, late=late, samples=1024, slow=10.0)


def truth(one: Machine, *, guess: float) -> np.ndarray:
    warm = replace(one, card=replace(one.card, age_s=3000.0))
    return warm.truth(guess=guess, seeds=range(100, 112))


@pytest.mark.parametrize("name", CARDS)
def test_interactive_is_found_on_cards_that_are_not_of_the_form(name: str) -> None:
    one = machine(Scenario.INTERACTIVE, late=name == "shape", **CARDS[name])
    found = one.by_model(OPTIONS, seeds=SEEDS)
    knees = truth(one, guess=found.knee_qps or 5.0)
    assert found.bracket
    assert found.best_qps
    # a slow card has few queries in ten minutes, so its seeds differ by 3 % where an H100's differ by 1
    assert found.knee_qps == pytest.approx(np.median(knees), rel=0.03)
    assert (knees >= found.best_qps).mean() > 0.7
    assert one.now_s < by_model.BUDGET * OPTIONS.probe_seconds
    assert all("runs of full length hold" in probe.reason for probe in found.probes)
    assert found.bracket.limited_by == ("TTFT" if name == "held" else "TPOT")  # held, prompts are what waits


def test_server_is_bound_by_the_first_token() -> None:
    one = machine(Scenario.SERVER, noise=0.03)
    found = one.by_model(OPTIONS, seeds=SEEDS)
    knee = np.median(truth(one, guess=found.knee_qps or 6.0))
    assert found.bracket
    assert found.bracket.limited_by == "TTFT"
    assert found.knee_qps == pytest.approx(knee, rel=0.03)


def test_steps_that_tell_nothing_are_left_to_the_other_search() -> None:
    one = machine(Scenario.INTERACTIVE)
    search = by_model.ModelSearch(
        source=one, load=one.load, engines=models.Engines(), options=OPTIONS, found=Found(), full=StepSums()
    )
    assert not search.go()
    assert one.now_s == 0  # without a probe


def model(**fields: Any) -> Model:
    made = models.new(models.Engines(), SLOW, outputs=np.full(8, 128))
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def correction(pace: float, *, source: str = "probe 1", rate: float = 5.0) -> Correction:
    return Correction(source=source, rate=rate, pace=pace, error=0.001)


def test_a_card_that_slows_down_is_expected_to_go_on_a_little() -> None:
    found = model()
    models.take_over(found, [correction(1.0), correction(1.004), correction(1.006)], knee=5.0)
    assert 1.006 < found.pace < 1.01
    models.take_over(found, [correction(1.0), correction(1.004), correction(1.003)], knee=5.0)
    assert 1.0 < found.pace < 1.004


def test_what_was_seen_far_from_the_knee_does_not_count() -> None:
    found = model()
    models.take_over(found, [correction(1.2, rate=3.0), correction(1.01)], knee=5.0)
    assert found.pace == pytest.approx(1.01)


def test_a_confirmation_counts_more_than_all_probes() -> None:
    found = model()
    models.take_over(found, [correction(1.0), correction(1.0), correction(1.02, source="confirm-1")], knee=5.0)
    assert found.pace == pytest.approx(1.02)


def test_the_rate_is_held_by_nine_of_ten_seeds_and_below_the_margin() -> None:
    found = model(knee_qps=50.0, hold_qps=49.8)
    assert by_model.rate_of(found, margin=0.01) == pytest.approx(49.5)
    assert by_model.rate_of(found, margin=0.0) == pytest.approx(49.8)


def test_a_rate_with_many_queries_needs_fewer_seeds() -> None:
    load = models.Load(lengths=np.array([700], np.int32), limits_ms=(500, 30), samples=13_368)
    assert models.enough(load, rate=50) == len(models.THOROUGH)
    assert models.enough(load, rate=5000) == len(models.QUICK)
