"""A run directory has one writer, and nothing in it that we did not write is ever replaced or removed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.config import RunConfig, build
from harness.rundir import names, ours
from harness.rundir.directory import claimed
from harness.rundir.lock import holder, last_holder, locked
from mlperf_llama_base.errors import UserError
from mlperf_llama_base.source import ROOT
from tests.harness.fake_run import write_run

HOLD = """
import sys, time
from pathlib import Path
from harness.rundir.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds ``tmp_path / "run"``."""
    (tmp_path / "run").mkdir()
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def asked(run: Path, *, overwrite: bool = True) -> RunConfig:
    return build({"output": str(run), "overwrite": overwrite, "engine": {"name": "null"}})


def finished(run: Path) -> Path:
    """All that a run may leave, by the functions that write it or with the marks of what they write."""
    run.mkdir(parents=True, exist_ok=True)
    write_run(run, samples=50)
    asked(run).save(run / names.CONFIG)
    (run / names.WORKERS).mkdir()
    (run / names.WORKERS / "worker-0.log").write_text("loaded\n")
    (run / names.SUMMARY_LOG).write_text("====\nMLPerf Results Summary\n")
    (run / names.DETAIL_LOG).write_text(':::MLLOG {"key": "a"}\n')
    (run / names.SESSION_LOG).write_text("anything")
    (run / ".status.4711.json").write_text("{")
    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_second_writer_is_refused_and_told_who_is_there(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    for overwrite in (False, True):
        with (
            pytest.raises(UserError, match=f"is being written by another run .process {other.pid} on"),
            claimed(asked(tmp_path / "run", overwrite=overwrite)),
        ):
            raise AssertionError("both have it")
    who = holder(tmp_path / "run")
    assert who is not None and who.pid == other.pid


def test_a_killed_holder_leaves_its_name_and_no_lock(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    run = tmp_path / "run"
    (run / names.STATUS).write_text('{"phase": "running", "scenario": "offline"}')
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert holder(run) is None
    left = last_holder(run)
    assert left is not None and left.pid == other.pid
    with (
        pytest.raises(UserError, match=f"is not empty.*--overwrite; what is there was left by process {other.pid}"),
        claimed(asked(run, overwrite=False)),
    ):
        pass
    with claimed(asked(run)) as claim:
        assert [path.name for path in claim.path.iterdir()] == [names.LOCK]


def test_nothing_of_the_lock_is_left_behind(tmp_path: Path) -> None:
    with claimed(asked(tmp_path / "run")) as claim:
        assert holder(claim.path) is not None
    assert list((tmp_path / "run").iterdir()) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="not one of our runs"), claimed(asked(tmp_path / "mine")):
        pass
    assert contents(tmp_path / "mine") == {"thesis.tex": b"years of work"}


def test_a_child_that_has_the_descriptor_holds_the_directory_too(tmp_path: Path) -> None:
    with locked(tmp_path) as lock:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock])
        path = tmp_path / names.LOCK
        path.rename(tmp_path / "kept")  # what a killed command leaves is its lock file
    (tmp_path / "kept").rename(path)
    assert holder(tmp_path) is not None
    child.communicate(b"\n")
    assert holder(tmp_path) is None


def test_a_finished_run_is_overwritten_when_asked(tmp_path: Path) -> None:
    run = finished(tmp_path / "run")
    assert list(ours.foreign(run)) == []
    before = contents(run)
    with pytest.raises(UserError, match="not empty"), claimed(asked(run, overwrite=False)):
        pass
    assert contents(run) == before
    with claimed(asked(run)):
        pass
    assert contents(run) == {}


FOREIGN: dict[str, Callable[[Path], object]] = {
    "workers/payroll.csv": lambda path: path.write_text("1,2"),
    "mlperf_log_notes/book.tex": lambda path: path.write_text("years of work"),
    "metrics_my_phd.parquet": lambda path: path.write_bytes(b"PAR1"),
    "confirm-later": lambda path: path.mkdir(),
    "raw.json": lambda path: path.write_text('{"mine": 1}'),
    names.RESULT: lambda path: path.write_text('{"of": "another tool"}'),
    names.CONFIG: lambda path: path.write_text("scenario: server  # by hand\nengine: {name: 'null'}\nloadgen: {}\n"),
    names.REPORT_MARKDOWN: lambda path: path.write_text("# my thesis\n"),
    names.ACCURACY_TEXT: lambda path: path.write_text("good\n"),
    names.EVENTS: lambda path: shutil.copy(path.with_name(names.METRICS), path),
    names.USER_CONF: lambda path: path.write_text("*.Server.target_qps = 7\n"),
    names.SYSTEM: lambda path: path.symlink_to("/etc/hostname"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_no_run_wrote_is_not_removed(tmp_path: Path, name: str) -> None:
    run = finished(tmp_path / "run")
    (run / name).unlink(missing_ok=True)
    (run / name).parent.mkdir(exist_ok=True)
    FOREIGN[name](run / name)
    before = contents(run)
    with pytest.raises(UserError, match=f"{name.split('/')[0]}.*, so it is left alone"), claimed(asked(run)):
        pass
    assert contents(run) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_configuration_written_by_hand_is_not_replaced(tmp_path: Path, overwrite: bool) -> None:
    path = tmp_path / names.CONFIG
    path.write_text("scenario: server # mine\n")
    with pytest.raises(UserError, match=r"config\.yaml"), claimed(asked(tmp_path, overwrite=overwrite)):
        pass
    assert path.read_text() == "scenario: server # mine\n"
    asked(tmp_path).save(path)
    path.write_text(path.read_text().replace("offline", "server") + "# edited\n")
    edited = path.read_text()
    with pytest.raises(UserError, match=r"somebody changed|not one of our runs"), claimed(asked(tmp_path)):
        pass
    assert path.read_text() == edited


def test_what_an_attempt_left_is_written_over(tmp_path: Path) -> None:
    asked(tmp_path).save(tmp_path / names.CONFIG)
    (tmp_path / names.PREFLIGHT).write_text(json.dumps({"findings": [], "facts": {}}))
    with claimed(asked(tmp_path, overwrite=False)):
        pass


def test_a_symlink_is_never_written_through(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("precious: 1\n")
    run = tmp_path / "run"
    run.mkdir()
    (run / names.CONFIG).symlink_to(mine)
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"config\.yaml"), claimed(asked(run, overwrite=overwrite)):
            pass
    asked(run).save(run / names.CONFIG)
    assert mine.read_text() == "precious: 1\n"
