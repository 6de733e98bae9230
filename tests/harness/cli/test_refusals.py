"""One fault has one exit code, whichever command meets it: 2 for what the user gave, 3 for the machine."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.command import ROOT, assert_refused, command
from tests.helpers.rows import rows, write_rows

CONF = "*.Offline.target_qps = 5\n*.Server.target_qps = 5\n"
COMMANDS = {
    "run": "run --output {out} --user-conf {conf}",
    "preflight": "preflight --output {out} --user-conf {conf}",
    "tune": "tune --output {out} --set loadgen.user_conf={conf}",
    "datacenter": "benchmark datacenter --output {out} --scenarios offline,server --user-conf-dir {folder}",
}


def arguments(name: str, folder: Path, conf: str) -> list[str]:
    """The command ``name`` with a data set of 8 samples and a user.conf that reads ``conf``."""
    (folder / "user.conf").write_text(conf)
    data = write_rows(folder / "data.json", [row | {"input": ""} for row in rows(8)])
    line = COMMANDS[name].format(out=folder / "out", conf=folder / "user.conf", folder=folder)
    return [*line.split(), "--engine", "null", "--dataset", str(data)]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_mistake_in_user_conf_is_the_users(tmp_path: Path, name: str) -> None:
    done = command(*arguments(name, tmp_path, CONF + "*.Server.targt_qps = 5\n"))
    assert_refused(done, "pre-flight", "failed: user.conf: line 3", "did you mean 'target_qps'", codes=(2,))


@pytest.mark.parametrize("name", COMMANDS)
def test_too_few_file_handles_are_the_machines(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness", *arguments(name, tmp_path, CONF)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)),  # of a process that is about to exec
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=240,
        check=False,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "failed: open files: soft limit 128" in done.stderr and "ulimit -n 65536" in done.stderr


@pytest.mark.parametrize("name", ["serve", "overhead"])
def test_a_rate_that_never_comes_to_a_request_is_refused(tmp_path: Path, name: str) -> None:
    done = command("bench", name, "--output", tmp_path / "out", "--rate", "-5")
    assert_refused(done, "--rate", "greater than or equal to 1", codes=(2,))
