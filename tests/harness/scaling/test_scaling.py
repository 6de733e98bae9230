"""The arithmetic of scaling against made-up runs, and both benchmarks once with the null engine."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from harness.cli import main
from harness.report import build_document
from harness.report.document import Charts, Table
from harness.rundir.events import Events
from harness.rundir.scaling import Counts, Rate, ScalingStep, TokenSummary, WorkerSpeed
from harness.scaling.analysis import analyse, issues
from harness.scaling.coordinated import add_up
from harness.scaling.figures import rate
from harness.scaling.measure import default_counts
from mlperf_llama_base.node import node_name
from tests.helpers.command import settings

pytestmark = pytest.mark.timeout(240)

NULL = [
    "--engine",
    "null",
    *settings(
        "engine.args.step_ms=5",
        "engine.args.max_num_seqs=8",
        "engine.args.output_tokens=8",
        "workers.warm_up_prompts=1",
        "dispatch.backlog=2",
    ),
]


def steady(per_second: int, seconds: int, *, noise: float = 0.0) -> Events:
    times = np.sort(
        np.random.default_rng(0).uniform(0, seconds, per_second * seconds)
        if noise
        else (np.arange(per_second * seconds) + 1) / per_second
    )
    zero = np.zeros(len(times), dtype=np.int64)
    return Events(
        qsl_idx=zero,
        issue=np.zeros(len(times)),
        dispatch=np.zeros(len(times)),
        first_token=np.full(len(times), np.nan),
        complete=times,
        input_tokens=zero + 5,
        output_tokens=zero + 10,
        worker=zero,
        attempts=zero + 1,
    )


def test_the_interval_holds_the_truth_and_is_narrow_where_nothing_scatters() -> None:
    even, poisson = rate(steady(100, 60), seconds=60), rate(steady(100, 60, noise=1), seconds=60)
    assert even.value == pytest.approx(1000) and even.ci95 is not None and even.ci95 < 5
    # Poisson: a segment of 2.4 s has 240 ± 15.5 samples, the mean of twenty is known to 1.4 %, t makes it 2.9 %
    assert poisson.ci95 is not None and 12 < poisson.ci95 < 50
    assert abs(poisson.value - 1000) <= poisson.ci95 + 1e-9


def test_too_little_for_an_interval_says_so() -> None:
    short = rate(steady(1, 10), seconds=10)
    assert short.value == pytest.approx(10) and short.ci95 is None


def step(
    speeds: list[float], *, kinds: list[str | None] | None = None, ci: float | None = 1.0, **changes: Any
) -> ScalingStep:
    workers = [
        WorkerSpeed(
            id=i,
            gpu=kind,
            samples_completed=9,
            samples_per_second=speed / 10,
            tokens_per_second=Rate(value=speed),
        )
        for i, (speed, kind) in enumerate(zip(speeds, kinds or [None] * len(speeds), strict=True))
    ]
    fields: dict[str, Any] = {
        "directory": "run",
        "samples": Counts(issued=9, completed=9),
        "seconds": 1.0,
        "samples_completed": 9,
        "samples_per_second": 9.0,
        "tokens_per_second": Rate(value=sum(speeds), ci95=ci),
        "imbalance": 0.0,
        "workers": workers,
    }
    return ScalingStep(**fields | changes)


def test_efficiency_counts_each_kind_of_gpu_by_its_own_baseline() -> None:
    baselines = {"A": step([100.0], kinds=["A"]), "B": step([50.0], kinds=["B"])}
    got = analyse(step([90.0, 45.0], kinds=["A", "B"]), baselines)
    assert got.efficiency == pytest.approx(0.9) and got.speed_up == pytest.approx(1.35)
    assert got.efficiency_ci95 == pytest.approx(0.9 * np.hypot(1 / 135, np.sqrt(2) / 150))
    assert got.notes == []


def test_more_than_everything_is_called_noise_in_the_baseline() -> None:
    got = analyse(step([102.5, 102.5], ci=1.0), {"CPU": step([100.0], ci=3.0)})
    assert got.efficiency == pytest.approx(1.025)
    assert "noise in the baseline" in got.notes[0] and "includes 100 %" in got.notes[0]
    far = analyse(step([120.0, 120.0], ci=1.0), {"CPU": step([100.0], ci=1.0)})
    assert "measure the baseline for longer" in far.notes[0]


def test_a_lost_sample_is_an_issue() -> None:
    bad = step([1.0], samples=Counts(issued=20, completed=15, lost=5))
    assert issues([bad]) == ["run: 20 issued, 15 completed, 5 lost"]


def test_counts_double_and_end_with_all() -> None:
    assert default_counts(1) == [1]
    assert default_counts(8) == [1, 2, 4, 8]
    assert default_counts(6) == [1, 2, 4, 6]


def call(*arguments: str) -> int:
    import sys

    saved = sys.argv
    sys.argv = ["mlperf-llama", *arguments]
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = saved


def test_scaling_writes_what_it_measured(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call("scaling", *NULL, "--workers", "2", "--samples", "36", "--output", str(out)) == 0
    tree = json.loads((out / "scaling.json").read_text())
    assert [s["scaling"]["workers"] for s in tree["steps"]] == [1, 2]
    for one in [*tree["steps"], *tree["baselines"].values()]:
        assert one["samples"]["issued"] == one["samples"]["completed"] and one["samples"]["lost"] == 0
        assert one["loadgen_tokens_per_second"] == pytest.approx(one["tokens_per_second"]["value"], rel=0.1)
    text = (out / "report.md").read_text()
    for title in ("Per-node", "Per-GPU", "Scaling analysis", "Token statistics", "Resource use", "Issues found"):
        assert f"## {title}" in text
    assert (out / "report.html").is_file()
    assert call("report", str(out)) == 0
    assert (out / "report.md").read_text() == text
    (part,) = build_document([out]).parts
    found = {section.title: section.blocks for section in part.sections}
    charts, _, table = found["Scaling analysis"]
    assert isinstance(charts, Charts) and isinstance(table, Table)
    assert [row[:2] for row in table.rows] == [["workers-1", "1"], ["workers-2", "2"]]
    assert "times one worker with 2, where 2.00 is ideal" in charts.charts[0].description
    over_time = found["Per-node results"][1]
    assert isinstance(over_time, Charts)
    assert [chart.title for chart in over_time.charts] == ["Throughput of each node, scaling", "Who was busy, scaling"]


def test_coordinated_starts_several_loadgens_at_once_and_adds_them_up(tmp_path: Path) -> None:
    out = tmp_path / "out"
    shortened = ["--set", "loadgen.min_query_count=72", "--set", "loadgen.min_duration_ms=1"]
    assert call("benchmark", "coordinated", *NULL, *shortened, "--workers", "8", "--output", str(out)) == 0
    tree = json.loads((out / "scaling.json").read_text())
    assert build_document([out]).parts[0].sections[0].title == "Coordinated benchmark"
    assert f"Throughput of each node, coordinated: means: {node_name()}-share-0" in (out / "report.md").read_text()
    total = tree["steps"][-1]
    assert total["samples"] == {"issued": 8 * 72, "completed": 8 * 72, "lost": 0, "retried": 0}
    assert [n["node"] for n in total["nodes"]] == [f"{node_name()}-share-{i}" for i in range(8)]
    runs = [out / node["node"] for node in total["nodes"]]
    assert all((run / "mlperf_log_summary.txt").is_file() for run in runs)
    ordered = [float((run / "go").read_text()) for run in runs]
    assert max(ordered) - min(ordered) < 0.05  # the clocks' offset, as measured, is in them
    for run, at in zip(runs, ordered, strict=True):
        began = datetime.fromisoformat(json.loads((run / "session.json").read_text())["test_started"])
        assert began.timestamp() >= at - 0.001


def test_adding_up_is_not_sure_where_a_part_is_not() -> None:
    tokens = TokenSummary(mean=1, min=1, p50=1, p99=1, max=1, total=9)
    part = step([10.0], valid=True, tokens={"input": tokens, "output": tokens})
    both = add_up([part, part])
    assert both.tokens_per_second.value == 20.0
    assert both.tokens_per_second.ci95 == pytest.approx(2**0.5)
    unsure = msgspec.structs.replace(part, tokens_per_second=Rate(value=1.0))
    assert add_up([part, unsure]).tokens_per_second.ci95 is None
