"""Folders of killed processes are cleared by the next one; those of living ones and of other people are not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlperf_llama_base import scratch
from mlperf_llama_base.errors import EnvironmentFault
from mlperf_llama_base.scratch import ScratchFolder, clear_stale

HOLDS = """
import sys
from mlperf_llama_base.scratch import ScratchFolder
print(ScratchFolder("test").path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield tmp_path
    tempfile.tempdir = None


def holder() -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen([sys.executable, "-c", HOLDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_killed_process_folder_is_cleared_by_the_next() -> None:
    process, folder = holder()
    assert folder.is_dir() and clear_stale() == 0
    process.kill()
    process.communicate()
    assert folder.is_dir()
    mine = ScratchFolder()
    assert not folder.exists()
    mine.remove()


def test_only_what_is_ours_is_cleared(temporary: Path) -> None:
    results = temporary / "mlperf-llama-results"
    results.mkdir()
    (results / "result.json").write_text("{}")
    mine = ScratchFolder("member")
    assert mine.path.stat().st_mode & 0o077 == 0
    assert clear_stale() == 0
    assert results.is_dir() and mine.path.is_dir()
    mine.remove()
    mine.remove()
    assert not mine.path.exists()


@pytest.mark.parametrize("length", [60, 76, 90, 200])
def test_a_socket_finds_a_place_whatever_tmpdir_is(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    deep = temporary
    while len(str(deep)) < length:
        deep = deep / ("d" * min(40, max(1, length - len(str(deep)) - 1)))
    deep.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("TMPDIR", str(deep))
    monkeypatch.setattr(tempfile, "tempdir", None)
    folder = ScratchFolder(socket=len("wire"))
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.fspath(folder.path / "wire"))
    folder.remove()


def test_without_any_place_it_says_what_to_do(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = temporary / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(scratch, "SHORT_PLACES", (str(temporary / "none"),))
    with pytest.raises(EnvironmentFault, match=r"too long for a socket's path.*set TMPDIR"):
        ScratchFolder(socket=4)
