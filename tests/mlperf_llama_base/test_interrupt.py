"""Ctrl-C in the middle of anything ends the command with its own exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlperf_llama_base.source import python_path

PROGRAM = """
import sys
from mlperf_llama_base import interrupt

interrupt.raise_on_signals()
try:
    {how}
except KeyboardInterrupt:
    interrupt.taken()
sys.exit(4)
"""
KILL = "import os, signal; os.kill(os.getpid(), signal.{number})"


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("how", ["exec({kill!r})", "{kill}"], ids=["in-an-exec", "plainly"])
def test_the_exit_code_is_the_commands_own(tmp_path: Path, how: str, number: str) -> None:
    """``namedtuple`` and ``dataclass`` run text by ``exec``, so a signal in an import often comes there."""
    kill = KILL.format(number=number)
    (tmp_path / "program.py").write_text(PROGRAM.format(how=how.format(kill=kill)))
    command = [sys.executable, "-m", "program"]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": python_path(os.environ)}, timeout=60, check=False
    )
    assert done.returncode == 4, signal.Signals(-done.returncode) if done.returncode < 0 else done.returncode
