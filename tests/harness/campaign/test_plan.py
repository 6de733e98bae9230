"""What runs, in which order, at which rates, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import config
from harness.campaign.plan import Kind, Step, choose_modes, choose_scenarios, make_plan, parse_rates
from harness.config import Benchmark, Mode, RunConfig, Scenario
from mlperf_llama_base.errors import UserError
from tests.harness.campaign.conftest import steps_of

DATACENTER = [Scenario.OFFLINE, Scenario.SERVER, Scenario.INTERACTIVE]


def test_accuracy_comes_before_compliance_before_performance(tmp_path: Path) -> None:
    assert [step.name for step in steps_of(tmp_path)] == [
        "smoke/server",
        "offline/accuracy",
        "server/accuracy",
        "interactive/accuracy",
        "offline/compliance",
        "server/compliance",
        "interactive/compliance",
        "offline/performance",
        "server/performance",
        "interactive/performance",
    ]


def test_some_modes_alone(tmp_path: Path) -> None:
    def configure(scenario: Scenario, mode: Mode) -> RunConfig:
        return config.build({"scenario": scenario, "mode": mode, "loadgen": {"target_qps": 1.0}})

    modes = choose_modes(["performance", "accuracy"])
    names = [step.name for step in make_plan([Scenario.SERVER], configure, smoke=False, modes=modes)]
    assert names == ["server/accuracy", "server/performance"]
    assert choose_modes([]) == list(Mode)
    with pytest.raises(UserError, match="did you mean 'accuracy'"):
        choose_modes(["accuracyy"])


def test_edge_has_its_own_scenarios(tmp_path: Path) -> None:
    names = [step.name for step in steps_of(tmp_path, Benchmark.EDGE)]
    assert names[:3] == ["smoke/singlestream", "singlestream/accuracy", "offline/accuracy"]
    assert len(names) == 7


def test_the_smoke_run_is_the_same_but_short(tmp_path: Path) -> None:
    smoke, *_, last = steps_of(tmp_path)
    assert smoke.config.dataset.limit == 64 and smoke.config.loadgen.min_duration_ms == 2000
    assert last.config.dataset.limit is None and last.config.loadgen.min_duration_ms is None
    assert smoke.config.engine == last.config.engine


def step(scenario: str, kind: Kind, **loadgen: float) -> Step:
    benchmark = "edge" if scenario == "singlestream" else "datacenter"
    mode = Mode.PERFORMANCE if kind is Kind.SMOKE else Mode(kind)
    tree = {"scenario": scenario, "mode": mode, "benchmark": benchmark, "loadgen": loadgen}
    return Step(name="x", kind=kind, config=config.build(tree))


@pytest.mark.parametrize(
    ("planned", "seconds"),
    [
        (step("offline", Kind.PERFORMANCE, target_qps=50), 40104 / 50),  # three times the data set
        (step("offline", Kind.PERFORMANCE, target_qps=1), 13368),
        (step("server", Kind.PERFORMANCE, target_qps=500), 307464 / 500),
        (step("server", Kind.ACCURACY, target_qps=50), 13368 / 50),
        (step("interactive", Kind.COMPLIANCE, target_qps=50), 2),
        (step("singlestream", Kind.PERFORMANCE, target_latency_ms=250), 1250),  # 5,000 mandatory queries
        (step("singlestream", Kind.PERFORMANCE, target_latency_ms=120), 15000 * 0.12),  # 10,000 are a multiple: +5,000
        (step("singlestream", Kind.ACCURACY, target_latency_ms=250), 1250),
        (step("singlestream", Kind.COMPLIANCE, target_latency_ms=250), 25),
    ],
)
def test_the_estimate_follows_loadgen_s_own_counts(planned: Step, seconds: float) -> None:
    assert planned.seconds() == pytest.approx(seconds)


def test_without_a_rate_there_is_no_estimate() -> None:
    assert step("server", Kind.PERFORMANCE).seconds() is None


def test_without_a_rate_there_is_no_plan() -> None:
    def configure(scenario: Scenario, mode: Mode) -> RunConfig:
        return config.build({"scenario": scenario, "mode": mode})

    with pytest.raises(UserError, match="offline has no target rate: give --target-qps offline=X"):
        make_plan(DATACENTER, configure)


def test_rates_and_user_confs(tmp_path: Path) -> None:
    for name in ("server/user.conf", "tune-interactive/user.conf", "interactive.conf", "user.conf"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("*.Server.target_qps = 5\n")
    rates = parse_rates(["offline=50", "server=40.5"], directory=tmp_path, scenarios=DATACENTER)
    assert rates.values == {Scenario.OFFLINE: 50.0, Scenario.SERVER: 40.5}
    assert {s: p.relative_to(tmp_path).as_posix() for s, p in rates.confs.items()} == {
        Scenario.OFFLINE: "user.conf",
        Scenario.SERVER: "server/user.conf",
        Scenario.INTERACTIVE: "tune-interactive/user.conf",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("50", "expected SCENARIO=RATE"),
        ("sever=50", "did you mean 'server'"),
        ("singlestream=50", "not part of this campaign"),
        ("server=fast", "is not a number"),
        ("server=0", "must be positive"),
        ("server=inf", "must be positive"),
        ("server=nan", "must be positive"),
    ],
)
def test_wrong_rates_are_named(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_rates([text], directory=None, scenarios=DATACENTER)


def test_a_directory_without_user_conf_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no user\.conf"):
        parse_rates([], directory=tmp_path, scenarios=DATACENTER)


def test_scenarios_are_the_benchmark_s(tmp_path: Path) -> None:
    assert choose_scenarios(Benchmark.DATACENTER, []) == DATACENTER
    assert choose_scenarios(Benchmark.DATACENTER, ["server", "offline"]) == [Scenario.OFFLINE, Scenario.SERVER]
    with pytest.raises(UserError, match="'singlestream' is not one of the datacenter benchmark's"):
        choose_scenarios(Benchmark.DATACENTER, ["singlestream"])
