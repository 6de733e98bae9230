"""The length of a test as we plan it is the one that LoadGen makes of the same settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness import config
from harness.config import Scenario
from harness.loadgen.length import Asked, full_length, planned, set_up
from harness.loadgen.log import DETAIL, parse_detail
from tests.harness.loadgen.real_runs import run_loadgen

OFFLINE, SERVER, SINGLE = Scenario.OFFLINE, Scenario.SERVER, Scenario.SINGLESTREAM
MODELS = {OFFLINE: "llama3_1-8b", SERVER: "llama3_1-8b", SINGLE: "llama3_1-8b-edge"}


def asked(scenario: Scenario, **changes: Any) -> Asked:
    plain: dict[str, Any] = {"rate": 1000.0, "block": 64, "min_duration_s": 0.1, "min_queries": 10}
    return Asked(scenario=scenario, **(plain | changes))


CASES = {
    "offline, a round at least": asked(OFFLINE, rate=10.0),
    "offline, 110 % of the duration": asked(OFFLINE, rate=2500.0),
    "offline, max_query_count cuts nothing": asked(OFFLINE, rate=2500.0, max_queries=70),
    "offline without equal issue": asked(OFFLINE, rate=2500.0, equal_issue=False),
    "offline, min_query_count": asked(OFFLINE, rate=10.0, min_queries=150),
    "server, whole rounds": asked(SERVER, rate=3500.0),
    "server, min_query_count": asked(SERVER, min_queries=200),
    "server, max_query_count": asked(SERVER, rate=3500.0, max_queries=100),
    "singlestream, twice the duration and a round": asked(SINGLE),
    "singlestream, a whole round more": asked(SINGLE, block=40),
    "singlestream, min_query_count": asked(SINGLE, min_queries=300),
    "singlestream, max_query_count": asked(SINGLE, max_queries=90),
    "singlestream without equal issue": asked(SINGLE, equal_issue=False, min_queries=130, min_duration_s=0.001),
}


@pytest.mark.parametrize("name", CASES)
def test_loadgen_issues_what_was_foreseen(name: str, tmp_path: Path) -> None:
    wanted = CASES[name]
    rates: dict[Scenario, dict[str, float]] = {
        OFFLINE: {"offline_expected_qps": wanted.rate},
        SERVER: {"server_target_qps": wanted.rate},
        SINGLE: {"single_stream_expected_latency_ns": int(1e9 / wanted.rate)},
    }
    rate = rates[wanted.scenario]
    run = run_loadgen(
        tmp_path,
        scenario=wanted.scenario.loadgen_name,
        model=MODELS[wanted.scenario],
        count=wanted.block,
        delay_s=0.9 / wanted.rate if wanted.scenario is SINGLE else 0.0,
        attributes=rate
        | {
            "min_duration_ms": round(wanted.min_duration_s * 1e3),
            "min_query_count": wanted.min_queries,
            "max_query_count": wanted.max_queries,
            "sample_concatenate_permutation": wanted.equal_issue,
        },
    )
    assert parse_detail(run / DETAIL).sample_count == wanted.samples


def test_loadgen_s_own_settings_give_the_same(tmp_path: Path) -> None:
    lg = pytest.importorskip("mlperf_loadgen")
    settings = lg.TestSettings()
    settings.server_target_qps = 3500.0
    settings.min_duration_ms, settings.min_query_count = 100, 10
    settings.sample_concatenate_permutation = True
    assert set_up(settings, SERVER, block=64) == asked(SERVER, rate=3500.0)
    settings.single_stream_expected_latency_ns = 1_000_000
    assert set_up(settings, SINGLE, block=64) == asked(SINGLE)
    settings.offline_expected_qps = 10.0
    assert set_up(settings, OFFLINE, block=64) == asked(OFFLINE, rate=10.0)


def test_a_configuration_is_planned_as_the_rules_are() -> None:
    for scenario in (OFFLINE, SERVER, SINGLE):
        run = config.build({"scenario": scenario})
        whole = full_length(scenario, rate=50.0, samples=run.benchmark.sample_count)
        assert planned(run, 50.0) == whole
    assert planned(config.build({"scenario": "offline", "mode": "accuracy"}), 50.0).samples == 13368
    assert planned(config.build({"scenario": "offline", "mode": "compliance"}), 50.0).seconds == 2


def test_a_smoke_run_ends_when_it_is_told_to() -> None:
    loadgen = {"min_duration_ms": 0, "min_query_count": 5, "max_duration_ms": 2000}
    run = config.build({"scenario": "server", "dataset": {"limit": 500}, "loadgen": loadgen})
    assert (planned(run, 50.0).samples, planned(run, 50.0).seconds) == (100, 2)


def test_the_display_of_a_compliance_run_expects_its_hundred_samples() -> None:
    from harness.session.session import expected_length

    lg = pytest.importorskip("mlperf_loadgen")
    run = config.build({"scenario": "server", "mode": "compliance"})
    settings = lg.TestSettings()
    settings.server_target_qps, settings.sample_concatenate_permutation = 50.0, True
    assert expected_length(run, settings, total=13368, block=13368) == (100, 2.0)
