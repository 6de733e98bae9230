"""The verdict can be written again at any time from the files of a run that has ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import dispatch
from harness.config import Benchmark, Mode, Scenario
from harness.rundir import names
from harness.rundir.lock import locked
from mlperf_llama_base.errors import UserError
from tests.harness.cli.test_report_commands import exit_code
from tests.harness.submission.runs import make_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", Scenario.OFFLINE, Mode.PERFORMANCE, Benchmark.DATACENTER)


def test_the_same_files_give_the_same_result(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / names.RESULT).read_bytes()
    (run / names.RESULT).unlink()
    assert not dispatch(["judge", str(run)])
    assert (run / names.RESULT).read_bytes() == before
    assert capsys.readouterr().out.startswith("VALID  offline performance")


def test_files_that_no_verdict_needs_may_be_spoilt(run: Path) -> None:
    (run / names.RESULT).write_bytes(b"\x00garbage")
    (run / names.EVENTS).write_bytes(b"PAR1")
    (run / names.METRICS).write_bytes(b"PAR1")
    (run / names.STATUS).write_text("{")
    assert not dispatch(["judge", str(run)])
    result = json.loads((run / names.RESULT).read_text())
    assert result["valid"] and not result["submittable"]  # without the second witness
    assert "metrics.parquet is damaged" in result["notes"][0]


def test_a_run_that_is_not_valid_ends_with_1(run: Path) -> None:
    (run / names.SESSION).unlink()
    assert exit_code("judge", str(run)) == 1


def test_a_run_that_goes_on_is_not_judged(run: Path, tmp_path: Path) -> None:
    with locked(run), pytest.raises(UserError, match="wait for the run to end"):
        dispatch(["judge", str(run)])
    with pytest.raises(UserError, match="is not a run directory"):
        dispatch(["judge", str(tmp_path)])
