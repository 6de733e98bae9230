"""Regions as the official checker computes them, and a plan that fills them."""

from __future__ import annotations

import datetime

import pytest

from harness.endpoints.cohorts import next_cohort, published, seeds_of
from harness.endpoints.plan import Offline, assumed_rates, make_plan, passes_for, rate_at, seconds
from harness.endpoints.regions import BANDS, Region, match_bands, regions
from harness.rounds import ENDPOINTS
from mlperf_llama_base.errors import UserError

BOUNDS = [  # C_max, C_min, end of Low, of Medium: computed with the official checker
    (256, 1, 7, 41),
    (1024, 1, 11, 103),
    (4096, 1, 17, 257),
    (13368, 1, 25, 564),
    (4096, 32, 48, 287),
]


@pytest.mark.parametrize(("c_max", "c_min", "low", "medium"), BOUNDS)
def test_regions_are_the_official_ones(c_max: int, c_min: int, low: int, medium: int) -> None:
    found = regions(c_max, c_min)
    assert (found.low, found.medium) == (low, medium)
    edges = (c_min, c_min + 1, low, low + 1, medium, medium + 1, c_max, c_max + 1, found.margin)
    wanted = "low_latency low_concurrency low_concurrency med_concurrency med_concurrency high_concurrency"
    assert [found.of(c) for c in edges] == [*wanted.split(), "high_concurrency", "margin", "margin"]
    assert found.of(found.margin + 1) is None


@pytest.mark.parametrize(("c_max", "c_min"), [(33, 32), (32, 1), (256, 0), (256, 33)])
def test_what_makes_no_curve_is_refused(c_max: int, c_min: int) -> None:
    with pytest.raises(UserError, match="C_m"):
        regions(c_max, c_min)


@pytest.mark.parametrize("c_min", [1, 4, 32])
@pytest.mark.parametrize("c_max", [100, 512, 4096, 13368])
@pytest.mark.parametrize("offline", Offline)
@pytest.mark.parametrize("spares", [0, 2])
def test_a_plan_fills_all_regions_and_scores_each_once(c_min: int, c_max: int, offline: Offline, spares: int) -> None:
    plan = make_plan(c_max=c_max, c_min=c_min, offline=offline, spares=spares)
    bounds = regions(c_max, c_min)
    assert len(plan) == ENDPOINTS.min_points[offline] + spares
    measured = [point for point in plan if not point.dedicated]
    assert [point.concurrency for point in measured] == sorted({point.concurrency for point in measured})
    assert (measured[0].concurrency, measured[-1].concurrency) == (c_min, c_max)
    assert {point.region for point in measured} == set(BANDS)
    scored = [(point.concurrency, bounds.bands(point.concurrency)) for point in measured if point.accuracy]
    assert len(scored) == 4 and match_bands(scored).keys() == set(BANDS)
    assert [point.accuracy for point in plan if point.offline != "none"] == [True]
    assert all(p.min_duration_ms == (600_000 if p.concurrency <= 32 else 1_200_000) for p in plan)


def test_a_band_is_filled_by_one_result_and_a_result_fills_one_band() -> None:
    both = [Region.ULTRA_LOW, Region.LOW]
    assert match_bands([(4, both), (1, [Region.ULTRA_LOW])]) == {Region.ULTRA_LOW: 1, Region.LOW: 4}
    assert match_bands([(4, both)]) == {Region.ULTRA_LOW: 4}


def test_too_close_concurrencies_are_refused_with_the_way_out() -> None:
    with pytest.raises(UserError, match="higher --max-concurrency or fewer --spares"):
        make_plan(c_max=40, c_min=32)


def test_requests_come_from_the_measured_rate_and_are_whole_passes() -> None:
    assert passes_for(20.0, 600_000) == 4 + 2  # a steady window has at least four passes
    assert passes_for(520.0, 1_200_000) == 47 + 2  # 1200 s at 520/s are 46.7 passes
    assert passes_for(520.0, 0) == 1  # a rehearsal
    point = make_plan(c_max=256)[0]
    assert point.accuracy and seconds(point, 26.736) == pytest.approx(7 * 500 + 90)


def test_a_rate_between_two_measured_ones_lies_between_them() -> None:
    measured = {32: 50.0, 128: 100.0}
    assert rate_at(64, measured) == pytest.approx(70.71, abs=0.01)
    assert rate_at(16, measured) == 25.0 and rate_at(4096, measured) == 100.0 and rate_at(128, measured) == 100.0
    with pytest.raises(ValueError, match="no rate"):
        rate_at(1, {})
    assert rate_at(512, assumed_rates(512, cards=1)) == 65.0


def test_cohorts_are_published_on_the_first_and_third_wednesday() -> None:
    assert published("2026-12-C0") == datetime.date(2026, 12, 2)
    assert published("2026-11-C1") == datetime.date(2026, 11, 18)
    assert next_cohort(datetime.date(2026, 11, 26)) == "2026-12-C0"
    assert seeds_of("2026-12-C0").name == "A"
    for wrong, text in (("2026-12-C1", "no seeds are known for cohort 2026-12-C1"), ("2026-13-C0", "is no cohort")):
        with pytest.raises(UserError, match=text):
            seeds_of(wrong)
