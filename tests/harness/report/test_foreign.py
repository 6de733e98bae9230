"""Reports and comparisons of another harness's LoadGen logs."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest

from harness.report import build_document, markdown, write_report
from harness.report.compare import compare
from mlperf_llama_base.errors import UserError
from tests.harness.fake_run import write_run
from tests.harness.submission.real_logs import unpack


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("real"))


def scenario(real: Path, name: str) -> Path:
    return next((real / "base").glob(f"closed/*/results/*/*/{name}"))


def test_a_report_of_a_tree(real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run by its path; written here, not into somebody else's directory."""
    monkeypatch.chdir(tmp_path)
    before = sorted(real.rglob("*"))
    page, twin = write_report([real / "base"])
    assert page.resolve().parent == tmp_path and sorted(real.rglob("*")) == before
    text = twin.read_text()
    for name in ("Offline", "Server", "Interactive"):
        path = markdown.escape(str(scenario(real, name) / "performance" / "run_1"))
        assert f"## {path}: {name.lower()} performance" in text
    assert "whether it may be submitted is not recorded" in text and "128,750.0" in text
    assert "NO RESULT" not in text and "published" not in text.lower()


def test_what_cannot_be_read_is_named(real: Path, tmp_path: Path) -> None:
    for name in ("base-edge", "endpoints/good", "foreign-multistream"):
        shutil.copytree(real / name, tmp_path / name)
    text = markdown.render(build_document([tmp_path]))
    assert "singlestream performance" in text
    assert "holds an Endpoints run" in text and "LoadGen ran MultiStream" in text
    with pytest.raises(UserError, match="LoadGen ran MultiStream"):
        build_document([real / "foreign-multistream"])
    with pytest.raises(UserError, match="holds an Endpoints run"):
        build_document([next((real / "endpoints/good").rglob("Server"))])


def test_two_of_them_are_compared_by_loadgen_s_figures(real: Path) -> None:
    run = scenario(real, "Server") / "performance"
    found = compare(run, run)
    figures = {figure.name: figure for figure in found.figures}
    assert figures["TTFT p99"].a == pytest.approx(966.43, abs=0.01) and figures["Throughput"].b == 130008.0
    assert {figure.verdict for figure in found.figures} == {"noise not recorded"}
    assert all(math.isnan(figure.low) and figure.interval == "–" for figure in found.figures)
    assert found.settings == [] and any("A is LoadGen's logs alone" in note for note in found.notes)
    scores = compare(scenario(real, "Server") / "accuracy", scenario(real, "Server") / "accuracy").figures
    assert [figure.name for figure in scores] == ["ROUGE-1", "ROUGE-2", "ROUGE-L", "ROUGE-Lsum"]
    with pytest.raises(UserError, match=r"holds 2 runs; give one of them: .*Server/accuracy"):
        compare(scenario(real, "Server"), run)


def test_a_tree_is_compared_within_each_scenario_only(real: Path, tmp_path: Path) -> None:
    """Offline, Server and Interactive once, the same Server again, and an edge Offline: one pair."""
    shutil.copytree(real / "base", tmp_path / "first")
    shutil.copytree(scenario(real, "Server") / "performance", tmp_path / "second" / "server")
    shutil.copytree(next((real / "base-edge").rglob("Offline")) / "performance", tmp_path / "third" / "edge")
    text = markdown.render(build_document([tmp_path]))
    (title,) = [line for line in text.splitlines() if line.startswith("#") and " against " in line]
    assert "second" in title and "Server" in title
    found = compare(scenario(real, "Offline") / "performance", tmp_path / "third" / "edge")
    assert not found.figures
    assert any("A is offline performance, B is offline performance edge" in note for note in found.notes)


def test_one_of_ours_against_one_of_them(real: Path, tmp_path: Path) -> None:
    ours = write_run(tmp_path / "ours", samples=500)
    found = compare(ours, scenario(real, "Server") / "performance" / "run_1")
    assert any(figure.name == "Throughput" for figure in found.figures)
    assert any("B is LoadGen's logs alone" in note for note in found.notes)
    assert not any("A is LoadGen's logs alone" in note for note in found.notes)
