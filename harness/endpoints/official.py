"""The official checker's verdict on a tree, where it is installed; it is MLCommons', on PyPI, and never required."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.rounds import ENDPOINTS
from mlperf_llama_base import typed
from mlperf_llama_base.errors import EnvironmentFault

NAME = "endpoints-submission-cli"
VARIABLE = "MLPERF_ENDPOINTS_CHECKER"
INSTALL = f"python -m venv endpoints-checker && endpoints-checker/bin/pip install {NAME}=={ENDPOINTS.checker}"
TIMEOUT_S = 600


class Found(msgspec.Struct, kw_only=True):
    """One result of a rule."""

    rule: str
    severity: str
    message: str
    path: str | None = None


class Report(msgspec.Struct, kw_only=True):
    """What ``check-submission --json`` prints."""

    results: list[Found]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """``found``: errors and warnings, without what it says of rules that are kept."""

    version: str
    passed: bool
    found: list[Found]

    def count(self, severity: str) -> int:
        return sum(found.severity == severity for found in self.found)

    def __str__(self) -> str:
        how = "passed" if self.passed else "NOT PASSED"
        return f"{NAME} {self.version}: {how}, {self.count('error')} errors, {self.count('warning')} warnings"


def find_checker(given: Path | None) -> Path | None:
    """The checker at ``given``, in the environment's variable, or on PATH; None where there is none.

    Raises ``EnvironmentFault`` for one that was named and is not there.
    """
    named = given or (Path(text) if (text := os.environ.get(VARIABLE)) else None)
    if named is None:
        return Path(found) if (found := shutil.which(NAME)) else None
    executable = named / "bin" / NAME if named.is_dir() else named
    if not os.access(executable, os.X_OK):
        raise EnvironmentFault(f"{executable} is not the official checker: {INSTALL}")
    return executable


def check(executable: Path, tree: Path) -> Verdict:
    """Run it over a submission. Raises ``EnvironmentFault`` where it cannot be run."""
    version = _run([str(executable), "--version"])
    done = _run([str(executable), "check-submission", "--json", str(tree)])
    try:
        report = typed.from_json(done.stdout, Report)
    except msgspec.DecodeError as error:
        text = " ".join((done.stdout + done.stderr).split())[-200:]
        raise EnvironmentFault(f"{executable} cannot check {tree} ({text}): {INSTALL}") from error
    words = version.stdout.split()
    found = [result for result in report.results if result.severity != "info"]
    return Verdict(version=words[-1] if words else "?", passed=done.returncode == 0, found=found)


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise EnvironmentFault(f"{command[0]} cannot be run ({type(error).__name__}): {INSTALL}") from error
