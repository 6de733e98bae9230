"""report, compare and watch as commands."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from harness.cli import dispatch
from harness.cli import watch as watch_command
from harness.rundir import names
from harness.rundir.lock import locked
from mlperf_llama_base.errors import UserError
from tests.harness.fake_run import write_run


def test_report_writes_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = write_run(tmp_path / "run", samples=300)
    assert not dispatch(["report", str(run_dir)])
    assert capsys.readouterr().out.split() == [str(run_dir / "report.html"), str(run_dir / "report.md")]
    assert (run_dir / "report.md").stat().st_size > 1000


def test_report_of_several_to_a_file(tmp_path: Path) -> None:
    dirs = [write_run(tmp_path / name, samples=300) for name in "ab"]
    output = tmp_path / "new" / "both.html"
    dispatch(["report", *map(str, dirs), "--output", str(output)])
    assert "b against a" in output.read_text() and output.with_suffix(".md").is_file()
    with pytest.raises(UserError, match=r"must end in \.html"):
        dispatch(["report", str(dirs[0]), "--output", str(tmp_path / "x.md")])


@pytest.mark.parametrize("foreign", ["x.html", "x.md"])
def test_report_replaces_its_own_files_only(tmp_path: Path, foreign: str) -> None:
    run_dir = write_run(tmp_path / "run", samples=300)
    (tmp_path / foreign).write_text("# my thesis\n")
    with pytest.raises(UserError, match=rf"{foreign} already exists and is not a report of this tool"):
        dispatch(["report", str(run_dir), "--output", str(tmp_path / "x.html")])
    assert (tmp_path / foreign).read_text() == "# my thesis\n"
    assert [p.name for p in tmp_path.glob("x.*")] == [foreign]
    (tmp_path / foreign).unlink()
    for _ in range(2):
        assert not dispatch(["report", str(run_dir), "--output", str(tmp_path / "x.html")])


def test_compare_prints_settings_and_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    a = write_run(tmp_path / "a", samples=2000)
    b = write_run(tmp_path / "b", samples=2000, slower=1.5, gpu="NVIDIA H200")
    dispatch(["compare", str(a), str(b)])
    out = capsys.readouterr().out
    assert "2 x NVIDIA H200" in out and "worse" in out and "needs repeats" in out
    with pytest.raises(UserError, match="not a directory"):
        dispatch(["compare", str(a), str(tmp_path / "nowhere")])


def exit_code(*arguments: str) -> int:
    try:
        return int(dispatch([*arguments]) or 0)
    except typer.Exit as ended:
        return ended.exit_code


def status(tmp_path: Path, **changes: Any) -> str:
    state = {
        "time": time.time(),
        "scenario": "offline",
        "mode": "performance",
        "phase": "running",
        "completed": 5,
        "expected": 10,
        "workers": [],
    } | changes
    (tmp_path / "status.json").write_text(json.dumps(state))
    return str(tmp_path)


def test_watch_a_run_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not dispatch(["watch", status(tmp_path, phase="finished", completed=10)])
    assert "10 of 10 samples (100.0 %)" in capsys.readouterr().out


def test_watch_ends_with_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = write_run(tmp_path / "run", samples=300, result={"valid": False, "invalid_reasons": ["too slow"]})
    assert not dispatch(["watch", str(run_dir)])
    out = capsys.readouterr().out
    assert "NOT VALID  server performance" in out and "- too slow" in out and "tokens/s" in out


@pytest.mark.parametrize("changes", [{"phase": "failed"}, {"time": 1000.0}])
def test_watch_a_run_that_broke(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert exit_code("watch", status(tmp_path, **changes)) == 1


def test_watch_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run writes there"):
        dispatch(["watch", str(tmp_path), "--wait", "0"])


def test_silence(tmp_path: Path) -> None:
    assert watch_command.gone(tmp_path) is not None
    for changes, goes_on in (
        ({}, True),
        ({"time": time.time() - 1000}, False),
        ({"time": 1e18}, False),
        ({"time": "yesterday"}, False),
        ({"time": None}, False),
        ({"time": 0.0, "phase": "finished"}, True),
    ):
        status(tmp_path, **changes)
        assert (watch_command.gone(tmp_path) is None) is goes_on, changes


def test_watch_looks_at_the_process_and_at_the_lock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that was killed a moment ago is known to be gone, however fresh its last state is."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    status(tmp_path, node=platform.node(), pid=ended.pid)
    assert f"process {ended.pid} was killed" in str(watch_command.gone(tmp_path))
    status(tmp_path, node=platform.node(), pid=os.getpid())
    assert watch_command.gone(tmp_path) is None
    with locked(tmp_path):
        status(tmp_path, time=1000.0)
        assert watch_command.gone(tmp_path) is None
        left = (tmp_path / names.LOCK).read_bytes()
    status(tmp_path)
    (tmp_path / names.LOCK).write_bytes(left)  # as a run leaves it that is killed
    assert exit_code("watch", str(tmp_path)) == 1
    assert f"The run does not go on: process {os.getpid()}" in capsys.readouterr().out
