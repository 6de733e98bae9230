"""Comparisons: the same system twice is noise, a slower one is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import RunConfig, Scenario
from harness.report.compare import compare
from tests.harness.fake_run import write_run


@pytest.mark.parametrize("scenario", [Scenario.SERVER, Scenario.OFFLINE])
def test_the_same_system_again_is_within_noise(tmp_path: Path, scenario: Scenario) -> None:
    """At 95 % confidence a rare figure may stray; most of ten repeats must not, and none by more than 1 %."""
    strayed = 0
    total = 0
    for seed in range(1, 11):
        a, b = (
            write_run(tmp_path / f"{name}{seed}", scenario=scenario, samples=4000, rate=45, seed=seed + offset)
            for name, offset in (("a", 0), ("b", 100))
        )
        figures = [f for f in compare(a, b).figures if f.name.startswith(("Throughput", "TTFT", "TPOT"))]
        total += len(figures)
        strayed += sum(f.beyond_noise for f in figures)
    assert strayed <= 0.2 * total


def test_a_slower_system_is_worse(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", seed=1)
    b = write_run(tmp_path / "b", seed=2, slower=1.2)
    figures = {f.name: f for f in compare(a, b).figures}
    for name in ("TTFT p50", "TPOT p99", "Latency p90"):
        assert figures[name].verdict == "worse"
        assert figures[name].low < figures[name].change < figures[name].high
        assert figures[name].change == pytest.approx(0.2, abs=0.15)
    assert {f.name: f for f in compare(b, a).figures}["TPOT p50"].verdict == "better"


def test_offline_throughput(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", scenario=Scenario.OFFLINE, samples=6000, rate=50)
    b = write_run(tmp_path / "b", scenario=Scenario.OFFLINE, samples=6000, rate=53, seed=2)
    figure = compare(a, b).figures[0]
    assert (figure.name, figure.verdict) == ("Throughput", "better")
    assert figure.change == pytest.approx(0.06, abs=0.02)


def test_settings_that_differ(tmp_path: Path) -> None:
    tree = RunConfig(scenario=Scenario.SERVER).model_dump(mode="json")
    tree["engine"]["args"] = {"max_num_seqs": 512}
    a = write_run(tmp_path / "a", samples=500)
    b = write_run(
        tmp_path / "b",
        samples=500,
        config=tree | {"output": "elsewhere"},
        gpu="NVIDIA H200",
        result={"versions": {"loadgen": "6.0.18", "python": "3.11"}},
    )
    assert compare(a, b).settings == [
        ("engine.args", {}, None),
        ("versions: loadgen", "6.0.17", "6.0.18"),
        ("GPUs", "2 x NVIDIA H100 80GB HBM3", "2 x NVIDIA H200"),
        ("engine.args.max_num_seqs", None, 512),
    ]


def test_runs_of_different_kinds_are_told_apart(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", samples=500)
    b = write_run(tmp_path / "b", samples=500, scenario=Scenario.OFFLINE, result={"valid": False})
    found = compare(a, b)
    assert "their figures mean different things and are not compared" in found.notes[0]
    assert "B is not a valid run." in found.notes
    assert found.figures == []


def test_without_events_there_are_no_figures(tmp_path: Path) -> None:
    a, b = (write_run(tmp_path / name, samples=500) for name in "ab")
    (b / "events.parquet").unlink()
    found = compare(a, b)
    assert found.figures == [] and "B has no events.parquet: no figures to compare." in found.notes
