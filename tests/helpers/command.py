"""The command as a user runs it: ``python -m harness`` in a process of its own, and what it may not leave behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.helpers.waiting import until

ROOT = Path(__file__).resolve().parents[2]
MARK = "MLPERF_LLAMA_TEST_MARK"
TIMEOUT_S = 240.0  # nothing is expected to take so long: it only ends a test that would hang


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return self.err.splitlines()


@dataclass
class Started:
    """A command that runs. ``mark`` is in its environment and its children's."""

    process: subprocess.Popen[str]
    mark: str

    def wait(self, timeout_s: float = TIMEOUT_S) -> Done:
        out, err = self.process.communicate(timeout=timeout_s)
        return Done(self.process.returncode, out, err)

    def family(self, *words: str) -> list[psutil.Process]:
        """Every live process of this command, wherever it was reparented to, with ``words`` in its command line."""
        return [p for p in _marked(self.mark) if all(word in " ".join(_cmdline(p)) for word in words)]


@contextmanager
def started(*arguments: str | Path, env: dict[str, str] | None = None) -> Iterator[Started]:
    """Start ``mlperf-llama ARGUMENTS``. Fails if a process of it is still there 15 s after the block."""
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", MARK: mark} | (env or {}),
    )
    one = Started(process, mark)
    try:
        yield one
        until(lambda: not one.family(), 15, lambda: f"left behind: {[_cmdline(p) for p in one.family()]}")
    finally:
        for left in [*one.family()]:
            left.kill()
        process.kill()
        process.communicate()


def command(*arguments: str | Path, env: dict[str, str] | None = None) -> Done:
    """Run ``mlperf-llama ARGUMENTS`` to its end, and see that no process of it is left."""
    with started(*arguments, env=env) as running:
        return running.wait()


def settings(*pairs: str) -> list[str]:
    """``--set PAIR`` for each of ``pairs``."""
    return [word for pair in pairs for word in ("--set", pair)]


def assert_refused(done: Done, *words: str, codes: tuple[int, ...] = (2, 3), warnings: int = 0) -> None:
    """It ended with one of ``codes`` and one line on stderr, which holds all ``words``; nobody saw a traceback.

    Up to ``warnings`` lines may stand before that one.
    """
    assert done.code in codes, f"exit code {done.code}\n{done.err}\n{done.out}"
    assert 1 <= len(done.errors) <= 1 + warnings, done.err
    assert all(line.startswith("mlperf-llama: ") for line in done.errors), done.err
    assert "Traceback" not in done.out + done.err
    missing = [word for word in words if word.lower() not in done.errors[-1].lower()]
    assert not missing, f"{missing} not in {done.err!r}"


def read(run: Path, name: str) -> Any:
    """A JSON file of a run."""
    return json.loads((run / name).read_text())


def answers(run: Path) -> dict[int, tuple[int, ...]]:
    """Tokens of each sample in LoadGen's accuracy log. Fails if a sample is there twice."""
    rows = read(run, "mlperf_log_accuracy.json")
    found = {row["qsl_idx"]: tuple(np.frombuffer(bytes.fromhex(row["data"]), "<i4").tolist()) for row in rows}
    assert len(found) == len(rows), "a sample was logged twice"
    return found


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A tmpfs over ``folder`` for a block. Skips the test where root may not mount either."""
    call = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(call, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
