"""Environments for the scripts under test: one that records how it is called, one that runs this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


class Run(Protocol):
    def __call__(self, name: str, *arguments: str, cwd: Path | None = None, **environment: str) -> str: ...


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def clean_environment(**environment: str) -> dict[str, str]:
    """Only what a shell needs, so that variables of the one who tests cannot change a script's choices."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    return kept | environment


def run(script: Path, *arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [script, *arguments], cwd=cwd, env=clean_environment(**environment), capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """An environment whose mlperf-llama prints its arguments, one a line."""
    executable(tmp_path / "venv" / "bin" / "mlperf-llama", '#!/bin/sh\nprintf "%s\\n" "$@"\n')
    return tmp_path / "venv"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """An environment whose mlperf-llama and Python are this checkout, run by the interpreter of the tests."""
    command = f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m harness "$@"\n'
    executable(tmp_path / "real" / "bin" / "mlperf-llama", command)
    executable(tmp_path / "real" / "bin" / "python", f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "$@"\n')
    return tmp_path / "real"
