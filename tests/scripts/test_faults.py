"""``docs/faults.md`` names tests that are there, and ``scripts/faults.sh`` runs each of them."""

from __future__ import annotations

import re
from pathlib import Path

from tests.scripts.conftest import ROOT, SCRIPTS, run

NAMED = set(re.findall(r"`([a-z0-9_/]+/test_[a-z0-9_]+\.py)`", (ROOT / "docs" / "faults.md").read_text()))


def test_every_test_that_is_named_is_there() -> None:
    assert len(NAMED) > 30
    assert [name for name in sorted(NAMED) if not (ROOT / "tests" / name).is_file()] == []


def test_the_script_runs_all_of_them(tmp_path: Path) -> None:
    environment = tmp_path / "bin"
    environment.mkdir()
    for name in ("mlperf-llama", "python"):
        (environment / name).write_text('#!/bin/sh\nprintf "%s\\n" "$FAULT_EXAMPLES" "$@"\n')
        (environment / name).chmod(0o755)
    done = run(SCRIPTS / "faults.sh", "-x", MLPERF_LLAMA_VENV=str(tmp_path))
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()
    assert (words[0], words[-1]) == ("200", "-x")
    assert {word for word in words if word.endswith(".py")} == {f"tests/{name}" for name in NAMED}
