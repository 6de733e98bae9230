"""``mlperf-llama --install-completion`` in the real shells: installed by one, asked with the next one's Tab key."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
GIVE_UP_S = 45.0  # only ends a test that would hang
SHELLS = {"bash": ["bash", "-i"], "zsh": ["zsh", "-i"], "fish": ["fish", "-i"]}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A home of its own, with the command on the path."""
    command = tmp_path / "bin" / "mlperf-llama"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m harness "$@"\n')
    command.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    return {"HOME": str(home), "PATH": path, "PYTHONPATH": str(ROOT), "TERM": "xterm", "LANG": "C.UTF-8"}


@contextmanager
def terminal(command: list[str], env: dict[str, str]) -> Iterator[int]:
    """``command`` with a terminal of its own; yields the terminal."""
    pid, master = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, env)
    try:
        yield master
    finally:
        os.kill(pid, signal.SIGKILL)
        os.close(master)
        os.waitpid(pid, 0)


def read_until(master: int, *wanted: str) -> str:
    """What the terminal shows until one of ``wanted`` is in it."""
    shown, end = "", time.monotonic() + GIVE_UP_S
    while not any(text in shown for text in wanted):
        ready, _, _ = select.select([master], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"none of {wanted} came: {shown!r}"
        shown += os.read(master, 65536).decode(errors="replace")
    return shown


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_completes_a_command(shell: str, env: dict[str, str]) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run(
        [shell, "-c", "mlperf-llama --install-completion; true"], env=env, capture_output=True, text=True
    )
    assert f"{shell} completion installed" in done.stdout, done.stdout + done.stderr
    with terminal(SHELLS[shell], env) as master:
        os.write(master, b"echo rea''dy\n")
        read_until(master, "ready")
        os.write(master, b"mlperf-llama submi\t")
        read_until(master, "ssion")  # the rest of submission
