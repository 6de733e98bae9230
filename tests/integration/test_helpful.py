"""A slip of the hand gets one line that says what is wrong, where, and what to do, from whichever command meets it."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.command import ROOT, assert_refused, command
from tests.helpers.rows import rows, write_rows

pytestmark = pytest.mark.timeout(240)
COMMANDS = ("run", "preflight", "tune")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "data.json", [row | {"input": ""} for row in rows(8)])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_directory_for_a_data_set(tmp_path: Path, data: Path, name: str) -> None:
    done = command(name, "--engine", "null", "--output", tmp_path / "run", "--dataset", data.parent)
    assert_refused(done, str(data.parent), "is a directory", "give the file in it (data.json)", codes=(2,))


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("option", ["dataset", "model", "profile"])
def test_an_empty_option(tmp_path: Path, name: str, option: str) -> None:
    done = command(name, "--engine", "null", "--output", tmp_path / "run", f"--{option}", "")
    assert_refused(done, f"--{option} is empty", "leave the option out", codes=(2,))


@pytest.mark.parametrize("name", COMMANDS)
def test_an_output_whose_links_lead_in_a_circle(tmp_path: Path, data: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    done = command(name, "--engine", "null", "--dataset", data, "--output", tmp_path / "loop")
    assert_refused(done, str(tmp_path / "loop"), "choose another --output", codes=(2,))


def test_a_directory_in_the_way_of_a_file(tmp_path: Path, data: Path) -> None:
    (tmp_path / "run" / "system.json").mkdir(parents=True)
    done = command("run", "--engine", "null", "--dataset", data, "--output", tmp_path / "run", "--skip-preflight")
    assert_refused(done, str(tmp_path / "run"))
    assert "free space" not in done.err


def test_hardly_any_file_handles(tmp_path: Path, data: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness", "preflight", "--engine", "null", "--dataset", str(data)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12)),  # of a process that is about to exec
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert len(done.stderr.splitlines()) == 1 and "ulimit -n 65536" in done.stderr
