"""The search against engines whose knee is known: from full-length runs of the same engine in virtual time."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import pytest

from harness.config import Scenario
from harness.rundir.tuning import Probe
from harness.tune.search import QUEUEING, Search, queueing_ceiling
from tests.harness.tune.virtual import Virtual, true_knee

pytestmark = pytest.mark.timeout(240)

# the time of a step binds long before the engine is full; the slots are full first and queueing decides; an H100's size
STEP_BOUND = {"step_ms": 8, "sequence_us": 10, "prefill_us": 3, "output_tokens": 32, "max_num_seqs": 1024}
SLOT_BOUND = {"step_ms": 5, "sequence_us": 31, "prefill_us": 2, "output_tokens": 32, "max_num_seqs": 128}
H100_INTERACTIVE = {"step_ms": 5, "sequence_us": 31, "prefill_us": 13.6, "output_tokens": 128, "max_num_seqs": 512}
LIKE_H100 = {"step_ms": 8, "sequence_us": 20, "prefill_us": 16, "output_tokens": 128, "max_num_seqs": 512}


@pytest.mark.parametrize(
    ("scenario", "args", "seconds"),
    [
        (Scenario.INTERACTIVE, STEP_BOUND, 8.0),
        (Scenario.INTERACTIVE, H100_INTERACTIVE, 20.0),
        (Scenario.SERVER, SLOT_BOUND, 4.0),
        (Scenario.SERVER, LIKE_H100, 20.0),
    ],
)
def test_lands_within_two_percent_of_the_knee_in_twelve_probes(
    monkeypatch: pytest.MonkeyPatch, scenario: Scenario, args: dict[str, Any], seconds: float
) -> None:
    engine = Virtual(scenario=scenario, args=args, monkeypatch=monkeypatch)
    capacity = engine.capacity(seconds=2 * seconds)
    knee = true_knee(engine, low=0.75 * capacity, high=1.05 * capacity)
    for seed in range(3):
        search = engine.search(seconds=seconds, seed=seed, capacity=capacity)
        found = search.estimate()
        assert found.knee == pytest.approx(knee, rel=0.02)
        assert len(search.probes) <= 12


def test_short_probes_lean_to_neither_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """An H100 called 49.7 and 49.2 samples/s not valid that probes of five latencies had said it would hold."""
    engine = Virtual(scenario=Scenario.INTERACTIVE, args=H100_INTERACTIVE, monkeypatch=monkeypatch)
    capacity = engine.capacity(seconds=40)
    knee = true_knee(engine, low=0.6 * capacity, high=capacity)
    found = [engine.search(seconds=20, seed=seed, capacity=capacity).estimate().knee or 0.0 for seed in range(12)]
    assert sum(found) / len(found) == pytest.approx(knee, rel=0.01)
    assert max(abs(f / knee - 1) for f in found) < 0.03


def probe(rate: float, *, room: float, error: float = 0.02) -> Probe:
    """A probe that says that the 99th percentile of a long run's TPOT would be ``1 / room`` of the limit."""
    typical = room * math.exp(NormalDist().inv_cdf(1 - 0.009) * error)
    return Probe(
        target_qps=rate,
        achieved_qps=rate,
        samples_per_second=rate,
        queries=2000,
        valid=room >= 1,
        reason="",
        ended="full length",
        whole=True,
        duration_s=1,
        window_s=1,
        allowed=10,
        allowed_share=0.009,
        early_stopping_met=room >= 1,
        ttft_over=0,
        tpot_over=0,
        headroom_ttft=20.0,
        headroom_tpot=room,
        error_ttft=1.0,
        error_tpot=error,
        tpot_room=typical,
        tpot_spread=error,
        independent=10.0,
    )


def run(search: Search, knee: float, steepness: float = 4.0) -> list[float]:
    """Let it search a system whose headroom falls straight through 1 at ``knee``. Returns the rates asked."""
    rates: list[float] = []
    while (ask := search.next()) is not None:
        rates.append(ask.rate)
        search.add(probe(ask.rate, room=max(1 - steepness * (ask.rate / knee - 1), 0.01)))
    return rates


@pytest.mark.parametrize("knee", [60.0, 100.0, 160.0, 190.0])
def test_finds_the_knee_of_a_straight_line_wherever_it_is(knee: float) -> None:
    search = Search(capacity=200, ceiling=198)
    rates = run(search, knee)
    found = search.estimate()
    assert found.knee == pytest.approx(knee, rel=0.01)
    assert found.error is not None
    assert len(rates) < 12
    assert found.limited_by == "TPOT"


def test_a_system_that_never_binds_is_probed_at_the_ceiling_and_no_higher() -> None:
    search = Search(capacity=200, ceiling=198)
    rates = run(search, knee=1000)
    assert max(rates) == 198
    assert len(rates) == 2
    found = search.estimate()
    assert (found.knee, found.limited_by) == (198, QUEUEING)


def test_nothing_valid_is_said_so() -> None:
    search = Search(capacity=200, ceiling=198, max_probes=4)
    while (ask := search.next()) is not None:
        search.add(probe(ask.rate, room=0.1))
    assert [p.target_qps for p in search.probes] == sorted((p.target_qps for p in search.probes), reverse=True)
    assert search.estimate().knee is None


def test_contradicting_verdicts_become_a_band_and_not_a_bracket() -> None:
    search = Search(capacity=200, ceiling=198)
    for rate, room in ((100, 1.2), (110, 0.98), (112, 1.01), (120, 0.8)):
        search.add(probe(rate, room=room, error=0.05))
    assert search.bracket() == (100, 120)
    found = search.estimate()
    assert found.knee is not None
    assert 105 < found.knee < 117


def test_more_probes_make_the_estimate_surer() -> None:
    search = Search(capacity=200, ceiling=198)
    errors = []
    for rate, room in ((100, 1.2), (120, 0.8), (112, 0.97), (107, 1.05)):
        search.add(probe(rate, room=room, error=0.05))
        errors.append(search.estimate().error or 1.0)
    assert errors[-1] < errors[1]


def test_queueing_takes_less_of_a_larger_system() -> None:
    small, large = (queueing_ceiling(c, ttft_limit_s=2.0, share=0.009) / c for c in (60.0, 6000.0))
    assert small < large < 1
    assert queueing_ceiling(0.1, ttft_limit_s=0.5, share=0.009) == 0.05
