"""deploy/slurm/cluster.sbatch with an srun of our own that starts real processes: real Ray, two nodes, one command."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.helpers.rows import rows, write_rows
from tests.helpers.waiting import until

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "slurm" / "cluster.sbatch"
SCONTROL = '#!/bin/sh\n[ "$1 $2 $3" = "show hostnames node[1-2]" ] && printf "node1\\nnode2\\n"\n'
# A task is a process of this machine; a signal to srun goes on to it, as Slurm's does
SRUN = """#!/usr/bin/env python3
import os, signal, subprocess, sys
arguments = sys.argv[1:]
options = {}
while arguments[0].startswith("--"):
    name, _, value = arguments.pop(0).partition("=")
    options[name] = value
names = options["--nodelist"].split(",")
assert len(names) == int(options["--ntasks"]) == int(options["--nodes"]), options
if arguments[0] == "hostname":
    print("127.0.0.1"); sys.exit()
with open(os.environ["SRUN_LOG"], "a") as log:
    log.write(f"{options['--nodelist']} {' '.join(arguments[1:])}\\n")
tasks = [subprocess.Popen(arguments, env=os.environ | {"MLPERF_LLAMA_NODE": name}) for name in names]
signal.signal(signal.SIGTERM, lambda *_: [task.terminate() for task in tasks])
sys.exit(max(abs(task.wait()) for task in tasks))
"""


@dataclass
class Job:
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        env = os.environ | self.env
        return subprocess.run([SCRIPT, *arguments], env=env, cwd=self.folder, capture_output=True, text=True)

    def left(self) -> list[psutil.Process]:
        """Processes of this job's Ray, which all name its folder."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if self.env["RAY_TMPDIR"] in " ".join(process.info["cmdline"] or []):
                found.append(process)
        return found


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    bin = tmp_path / "venv" / "bin"
    bin.mkdir(parents=True)
    for name, text in {
        "srun": SRUN.replace("/usr/bin/env python3", sys.executable),
        "scontrol": SCONTROL,
        "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
        "ray": f'#!/bin/sh\nexec {sys.executable} -m ray.scripts.scripts "$@"\n',
        "mlperf-llama": f'#!/bin/sh\nexec {sys.executable} -m harness "$@"\n',
    }.items():
        (bin / name).write_text(text)
        (bin / name).chmod(0o755)
    with socket.socket() as free, tempfile.TemporaryDirectory(prefix="mlray") as ray:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        env = {
            "PATH": f"{bin}{os.pathsep}{os.environ['PATH']}",
            "MLPERF_LLAMA_VENV": str(bin.parent),
            "SLURM_JOB_NODELIST": "node[1-2]",
            "SLURM_SUBMIT_DIR": str(tmp_path),
            "SRUN_LOG": str(tmp_path / "srun.log"),
            "RAY_PORT": str(port),
            "RAY_TMPDIR": ray,  # short: it holds sockets
            "RAY_OPTIONS": "--num-cpus=1 --num-gpus=0 --object-store-memory=80000000",
            "START_TIMEOUT_S": "100",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
        }
        yield Job(tmp_path, env)
        for process in Job(tmp_path, env).left():
            process.kill()


@pytest.mark.timeout(240)
def test_one_job_two_nodes_one_command(job: Job, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "data.json", rows(40))
    test = ("--engine", "null", "--dataset", data, "--target-qps", "50", "--skip-preflight")
    few = ("--set", "loadgen.min_query_count=40", "--set", "loadgen.min_duration_ms=1")
    null = ("--set", "engine.args={output_tokens: 8, step_ms: 1}")
    done = job.run("run", *test, *few, *null, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    head, other = (tmp_path / "srun.log").read_text().splitlines()
    assert head.startswith("node1 start --block") and "--head" in head
    assert other.startswith("node2 start --block") and f"--address=127.0.0.1:{job.env['RAY_PORT']}" in other
    session = json.loads((tmp_path / "out" / "session.json").read_text())
    assert len(session["workers"]) == 2
    until(lambda: not job.left())


def test_the_exit_code_of_the_command_is_the_job_s(job: Job, tmp_path: Path) -> None:
    (tmp_path / "venv" / "bin" / "scontrol").write_text("#!/bin/sh\necho node1\n")
    done = job.run("run", "--no-such-option")
    assert done.returncode == 2 and "--no-such-option" in done.stderr
    until(lambda: not job.left())


def test_what_lacks_is_said(job: Job, tmp_path: Path) -> None:
    job.env["SLURM_JOB_NODELIST"] = ""
    done = job.run()
    assert done.returncode != 0 and "sbatch" in done.stderr
    job.env |= {"SLURM_JOB_NODELIST": "node1", "MLPERF_LLAMA_VENV": str(tmp_path)}
    done = job.run()
    assert done.returncode == 3 and "mlperf-llama[ray]" in done.stderr
