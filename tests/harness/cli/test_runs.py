"""The experiment log: every run below a folder, filtered, as a table, JSON and CSV, and into MLflow."""

from __future__ import annotations

import csv
import datetime
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cli import dispatch, missing, outcome
from harness.config import RunConfig, Scenario
from harness.report.catalog import moment
from harness.rundir.lock import locked
from mlperf_llama_base.errors import UserError
from tests.harness.fake_run import write_run

NOW = datetime.datetime(2026, 11, 26, 12, tzinfo=datetime.UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four settings of one engine argument, an Offline run, and one that never started."""
    for number, count in enumerate((128, 256, 256)):
        engine = RunConfig().engine.model_dump(mode="json") | {"args": {"max_num_seqs": count}}
        when = f"2026-11-2{number + 1}T10:00:00.000+00:00"
        write_run(
            tmp_path / "sweep" / str(number),
            samples=300,
            config={"engine": engine},
            session={"test_started": when},
            result={"samples_per_second": 40.0 + number, "too_short": number == 1, "valid": number != 1},
        )
    write_run(tmp_path / "offline", samples=300, scenario=Scenario.OFFLINE)
    broken = write_run(tmp_path / "broken", samples=300, session={"outcome": "failed", "error": "no worker is left"})
    (broken / "result.json").unlink()
    return tmp_path


def rows(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[dict[str, Any]]:
    dispatch(["runs", *map(str, arguments), "--json"])
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def names(found: list[dict[str, Any]]) -> set[str]:
    return {Path(one["run"]).name for one in found}


def test_every_run_has_its_date_verdict_and_figures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {Path(one["run"]).name: one for one in rows(capsys, folder)}
    assert set(found) == {"0", "1", "2", "offline", "broken"}
    assert found["0"]["started"] == "2026-11-21T10:00:00+00:00"
    assert (found["0"]["scenario"], found["0"]["verdict"]) == ("server", "valid")
    assert found["1"]["verdict"] == "too-short"
    assert found["2"]["samples_per_second"] == 42 and found["2"]["ttft_p99_ms"] > 0
    assert (found["broken"]["verdict"], found["broken"]["why"]) == ("broke", "no worker is left")
    assert found["broken"]["samples_per_second"] is None
    assert found["0"]["settings"]["engine.args.max_num_seqs"] == 128


def test_only_settings_that_differ_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(capsys, folder / "sweep")
    assert [set(one["settings"]) for one in found] == [{"engine.args.max_num_seqs"}] * 3
    assert [set(one["settings"]) for one in rows(capsys, folder / "sweep" / "1")] == [set()]


def test_filters(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert names(rows(capsys, folder, "--scenario", "offline")) == {"offline"}
    assert names(rows(capsys, folder, "--verdict", "too-short", "--verdict", "broke")) == {"1", "broken"}
    assert names(rows(capsys, folder / "sweep", "--since", "2026-11-22")) == {"1", "2"}
    assert names(rows(capsys, folder, "--model", "LLAMA")) == {"0", "1", "2", "offline", "broken"}
    assert names(rows(capsys, folder, "--model", "mistral")) == set()


@pytest.mark.parametrize(("text", "days"), [("7d", 7), ("36h", 1.5), ("2w", 14)])
def test_an_age_is_counted_from_now(text: str, days: float) -> None:
    assert moment(text, NOW) == NOW - datetime.timedelta(days=days)
    with pytest.raises(UserError, match="is no date: give"):
        moment("yesterday", NOW)


def test_a_run_that_goes_on_is_running(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(folder / "broken"):
        [one] = rows(capsys, folder / "broken")
    assert one["verdict"] == "running"


def test_csv_has_a_column_for_each_setting(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dispatch(["runs", str(folder / "sweep"), "--csv"])
    found = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [one["engine.args.max_num_seqs"] for one in found] == ["128", "256", "256"]
    assert [one["verdict"] for one in found] == ["valid", "too-short", "valid"]


@pytest.mark.parametrize("width", [40, 160])
def test_the_table_keeps_every_word_in_a_narrow_terminal(
    folder: Path, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    dispatch(["runs", str(folder)])
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, out.splitlines())) <= width
    for word in ("sweep/0", "samples/s 40", "no worker is left", "5 runs;"):
        assert word in out
    if width < 100:
        assert "engine.args.max_num_seqs=128" in "".join(out.split()) and "too short for a verdict" in out


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no run"):
        dispatch(["runs", str(tmp_path)])


def test_without_mlflow_the_line_that_installs_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    call = ["runs", str(folder), "--mlflow", "sqlite:///x.db"]
    with pytest.raises(ModuleNotFoundError) as raised:
        dispatch(call)
    assert raised.value.name in ("mlflow", "mlflow.tracking")
    text, code = outcome(raised.value, call)
    assert code == 3 and "pip install '.[mlflow]'" in text
    assert missing.EXTRA["mlflow"] == "mlflow"


def test_runs_are_logged_to_mlflow_once(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    uri = f"sqlite:///{folder}/mlflow.db"
    for told in ("5 runs logged", "0 runs logged to experiment 'mlperf-llama', 5 were there"):
        dispatch(["runs", str(folder), "--mlflow", uri])
        assert told in capsys.readouterr().err
    client = tracking.MlflowClient(uri)
    experiment = client.get_experiment_by_name("mlperf-llama").experiment_id
    logged = {run.info.run_name: run for run in client.search_runs([experiment])}
    assert logged["sweep/2"].data.metrics["samples_per_second"] == 42
    assert logged["sweep/2"].data.params["engine.args.max_num_seqs"] == "256"
    assert logged["sweep/1"].data.tags["verdict"] == "too short for a verdict"
    assert (logged["sweep/1"].info.status, logged["broken"].info.status) == ("FINISHED", "FAILED")
    files = client.list_artifacts(logged["sweep/0"].info.run_id)
    assert {file.path for file in files} == {"config.yaml", "result.json"}
    assert (folder / "mlartifacts").is_dir()
