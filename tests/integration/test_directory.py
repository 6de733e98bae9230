"""A run directory has one writer at a time, by the real command; and what a run left is judged, whatever befell it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.helpers.command import assert_refused, command, read, started
from tests.helpers.rows import rows, write_rows
from tests.helpers.waiting import until

LONG = ["--set", "loadgen.min_duration_ms=60000", "--set", "loadgen.min_query_count=40"]
SHORT = ["--set", "loadgen.min_duration_ms=1000", "--set", "loadgen.min_query_count=600"]


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    data = write_rows(tmp_path / "data.json", rows(40))
    return [
        *("--scenario", "server", "--engine", "null", "--workers", "1"),
        *("--set", "loadgen.target_qps=600"),
        *("--dataset", str(data), "--output", str(tmp_path / "run")),
        *("--set", "engine.args.step_ms=1", "--set", "engine.args.output_tokens=8"),
    ]


def is_running(run: Path) -> bool:
    return (run / "status.json").is_file() and read(run, "status.json")["phase"] == "running"


def test_a_second_run_in_the_same_directory_is_refused(tmp_path: Path, arguments: list[str]) -> None:
    run = tmp_path / "run"
    with started("run", "--skip-preflight", *arguments, *LONG) as first:
        until(lambda: is_running(run), 60)
        for again in (["--overwrite"], []):
            second = command("run", "--skip-preflight", *arguments, *SHORT, *again)
            assert_refused(second, "being written by another run", f"process {first.process.pid}", codes=(2,))
        tune = command("tune", "--skip-preflight", *arguments, "--overwrite")
        assert_refused(tune, "being written by another run", codes=(2,))
        assert_refused(command("judge", run), "wait for the run to end", codes=(2,))
        assert is_running(run)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        watched = command("watch", run)
        assert watched.code == 1 and f"process {first.process.pid} (mlperf-llama run) was killed" in watched.out
    refused = command("run", "--skip-preflight", *arguments, *SHORT)
    assert_refused(refused, "not empty", f"left by process {first.process.pid}", codes=(2,))
    done = command("run", "--skip-preflight", *arguments, *SHORT, "--overwrite")
    assert done.code == 0, done.err + done.out


def test_events_that_cannot_be_written_cost_no_verdict(tmp_path: Path, arguments: list[str]) -> None:
    run = tmp_path / "run"
    with started("run", "--skip-preflight", *arguments, *SHORT) as one:
        until(lambda: (run / "status.json").is_file(), 60)
        (run / "events.parquet").mkdir()
        done = one.wait()
    assert done.code == 0, done.err + done.out
    result = read(run, "result.json")
    assert result["valid"] and "events.parquet could not be written (Is a directory)" in result["notes"]
    (run / "result.json").unlink()
    assert command("judge", run).code == 0
    assert read(run, "result.json") == result
