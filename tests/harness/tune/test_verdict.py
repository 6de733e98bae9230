"""Probes are judged by LoadGen's rule and by what a long run would show."""

from __future__ import annotations

import numpy as np
import pytest

from harness.loadgen.early_stopping import allowed_over_limit
from harness.tune.verdict import Growth, Window, decide, full_length_share, growth, probe_figures, tail_headroom

LIMITS = (500_000_000, 30_000_000)
SHARE = 0.009


def window(tpot_ms: np.ndarray, *, ttft_ms: float = 100.0, seconds: float = 60.0) -> Window:
    """Samples of 11 tokens, spread evenly over ``seconds``."""
    scheduled = np.linspace(0, seconds * 1e9, len(tpot_ms)).astype(np.int64)
    first = scheduled + int(ttft_ms * 1e6)
    complete = first + (10 * tpot_ms * 1e6).astype(np.int64)
    return Window(scheduled=scheduled, first=first, complete=complete, tokens=np.full(len(tpot_ms), 11))


def judged(w: Window, grown: Growth | None = None) -> tuple[bool, str]:
    return decide(probe_figures(w, LIMITS, SHARE), grown or Growth(), share=SHARE)


def test_percentiles_and_counts_are_loadgens() -> None:
    tpot = np.full(1000, 20.0)
    tpot[:5] = 31.0
    figures = probe_figures(window(tpot), LIMITS, SHARE)
    assert figures["tpot_over"] == 5
    assert figures["tpot_p99_ms"] == 20.0
    assert figures["allowed"] == allowed_over_limit(1000) == 2
    assert not figures["early_stopping_met"]
    assert judged(window(tpot))[0]  # 0.5 % would do in a long run


def test_too_many_over_the_limit_are_not_valid() -> None:
    tpot = np.full(1000, 20.0)
    tpot[:20] = 31.0
    valid, reason = judged(window(tpot))
    assert not valid
    assert reason.startswith("TPOT: 20 over the limit, 9 allowed")


def test_long_first_tokens_are_not_valid() -> None:
    assert not judged(window(np.full(1000, 20.0), ttft_ms=501))[0]


def test_a_window_without_a_burst_is_not_taken_for_a_long_run() -> None:
    calm = 27.5 * np.exp(np.random.default_rng(0).normal(0, 0.06, 1000))
    calm = np.minimum(calm, 29.9)
    valid, reason = judged(window(calm, seconds=10))
    assert not valid
    assert "long run" in reason


def test_the_predicted_tail_is_the_lognormals() -> None:
    drawn = 20 * np.exp(np.random.default_rng(1).normal(0, 0.1, 20_000))
    found = tail_headroom(window(drawn, seconds=6000), LIMITS[1], SHARE)
    assert found["headroom_tpot"] == pytest.approx(30 / np.quantile(drawn, 1 - SHARE), rel=0.02)
    assert 0 < found["error_tpot"] < 0.05
    assert found["tpot_room"] == pytest.approx(1.5, rel=0.01)
    assert found["tpot_spread"] == pytest.approx(0.1, rel=0.05)


def test_fewer_independent_samples_are_less_sure() -> None:
    drawn = 20 * np.exp(np.random.default_rng(1).normal(0, 0.1, 2000))
    short, long = (tail_headroom(window(drawn, seconds=s), LIMITS[1], SHARE) for s in (2, 200))
    assert short["error_tpot"] > long["error_tpot"]
    assert short["independent"] < long["independent"]


def test_a_growing_backlog_is_not_valid_however_good_the_latencies() -> None:
    times = np.arange(0, 20, 0.1)
    grown = growth(times, 30 * times, rate=100)
    assert grown.per_second == pytest.approx(30, rel=0.05)
    valid, reason = judged(window(np.full(1000, 10.0)), grown)
    assert not valid
    assert "grows by 30" in reason


def test_a_backlog_that_wanders_does_not_grow() -> None:
    times = np.arange(0, 20, 0.1)
    wander = np.random.default_rng(0).poisson(10, len(times)).astype(float)
    assert not growth(times, wander, rate=100).certain
    assert not growth(times[:5], 100 * times[:5], rate=100).certain


def test_an_empty_window_is_not_valid() -> None:
    empty = np.empty(0, dtype=np.int64)
    assert not judged(Window(scheduled=empty, first=empty, complete=empty, tokens=empty))[0]


def test_a_longer_run_may_have_a_larger_share() -> None:
    assert full_length_share(0.01) == 107 / 13368  # a round of the data set
    assert full_length_share(1.0) < full_length_share(100.0) < 0.01
