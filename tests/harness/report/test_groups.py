"""Repeats of one setting are compared as groups; what is shown is LoadGen's figure; and what continuous "
"integration asks."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from harness.config import RunConfig, Scenario
from harness.report import build_document
from harness.report.compare import Difference, compare
from harness.report.groups import of_directories
from harness.report.noise import t_975
from tests.harness.fake_run import write_run
from tests.harness.scaling.test_scaling import call


def run(folder: Path, name: str, *, seed: int, slower: float = 1.0, sequences: int = 256, rate: float = 0.0) -> Path:
    """An Offline run; ``rate``: LoadGen's tokens/s, 0: that of the events."""
    tree = RunConfig(scenario=Scenario.OFFLINE).model_dump(mode="json")
    tree["engine"]["args"] = {"max_num_seqs": sequences}
    tree["output"] = f"elsewhere/{name}"
    changed = {"tokens_per_second": rate} if rate else None
    return write_run(
        folder / name,
        scenario=Scenario.OFFLINE,
        samples=3000,
        rate=50,
        seed=seed,
        slower=slower,
        config=tree,
        result=changed,
    )


def named(figures: list[Difference], name: str) -> Difference:
    return next(figure for figure in figures if figure.name == name)


def test_the_figures_shown_are_loadgens_own(tmp_path: Path) -> None:
    a, b = run(tmp_path, "a", seed=1, rate=12650.0), run(tmp_path, "b", seed=2, rate=12690.0)
    figure = named(compare(a, b).figures, "Throughput")
    assert (figure.a, figure.b) == (12650.0, 12690.0)
    assert figure.change == pytest.approx(40 / 12650) and figure.low < figure.change < figure.high


def test_repeats_of_one_setting_are_one_group(tmp_path: Path) -> None:
    first = [run(tmp_path, f"a{i}", seed=i, rate=10000.0 + 10 * i) for i in range(3)]
    other = [run(tmp_path, f"b{i}", seed=9 + i, rate=10300.0 + 10 * i, sequences=512) for i in range(3)]
    (found,) = of_directories([first[0], other[0], first[1], other[1], first[2], other[2]])
    assert [len(found.a_runs), len(found.b_runs)] == [3, 3]
    assert found.settings == [("engine.args.max_num_seqs", 256, 512)]
    figure = named(found.figures, "Throughput")
    assert figure.a == pytest.approx(10010, rel=1e-4) and figure.b == pytest.approx(10310, rel=1e-4)
    half = t_975(4) * math.sqrt(2 * 10**2 / 3) / 10000  # Welch's of equal variances: four degrees of freedom
    assert figure.high - figure.change == pytest.approx(half, rel=0.1) and figure.verdict == "better"
    assert any("3 run(s) of one setting" in note for note in found.notes)
    comparison = build_document([*first, *other]).parts[0]
    assert [section.title for section in comparison.sections] == [
        "Runs",
        "b0 and 2 repeat(s) against a0 and 2 repeat(s)",
    ]


def test_one_run_against_repeats_scatters_as_they_do(tmp_path: Path) -> None:
    first = run(tmp_path, "a", seed=1, rate=10000.0)
    other = [run(tmp_path, f"b{i}", seed=9 + i, rate=10000.0 + 400 * i, sequences=512) for i in range(2)]
    (found,) = of_directories([first, *other])
    assert named(found.figures, "Throughput").verdict == "within noise"  # 2 % more, between runs 4 % apart


def test_a_short_run_is_too_short_to_tell(tmp_path: Path) -> None:
    a, b = (
        write_run(tmp_path / name, scenario=Scenario.OFFLINE, samples=20, rate=50, seed=at)
        for at, name in enumerate("ab")
    )
    figure = named(compare(a, b).figures, "Throughput")
    assert figure.verdict == "too short to tell" and figure.interval == "–"


def test_energy_stands_beside_speed(tmp_path: Path) -> None:
    a, b = run(tmp_path, "a", seed=1), run(tmp_path, "b", seed=2)
    figure = named(compare(a, b).figures, "Energy a sample")
    assert figure.a > 0 and figure.verdict == "noise not recorded" and not figure.higher_is_better


def test_what_continuous_integration_asks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, same, slow = (
        str(run(tmp_path, "a", seed=1, rate=10000.0)),
        str(run(tmp_path, "same", seed=2, rate=9990.0)),
        str(run(tmp_path, "slow", seed=3, rate=9500.0)),
    )
    assert call("compare", a, same, "--fail-under", "0.98") == 0
    assert call("compare", a, slow, "--fail-under", "0.98") == 1
    assert "slow: Throughput is 0.9500 of a's, under 0.98 (worse)" in capsys.readouterr().err
    assert call("compare", a, slow, "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["b"] == [slow]
    figure = next(one for one in found["figures"] if one["name"] == "Throughput")
    assert (figure["a"], figure["b"], figure["verdict"], figure["ratio"]) == (10000.0, 9500.0, "worse", 0.95)
    assert next(one for one in found["figures"] if one["name"] == "Energy a sample")["low"] is None


def test_of_runs_that_cannot_be_compared_no_success_is_told(tmp_path: Path) -> None:
    a = run(tmp_path, "a", seed=1)
    server = write_run(tmp_path / "server", samples=500)
    assert call("compare", str(a), str(server), "--fail-under", "0.98") == 1
