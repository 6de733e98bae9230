"""Worker processes on this machine: each a fresh interpreter in a session of its own, so that it and its children
die together. The spec goes through stdin (it may hold keys), which stays open: its end tells the worker that we are
gone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from mlperf_llama_base.source import python_path
from sut.messages import WorkerSpec
from sut.workers.base import Exit, WorkerPool


def launch(spec: WorkerSpec) -> subprocess.Popen[bytes]:
    """Start one worker process. Its output goes to ``spec.log_file`` (appended)."""
    env = os.environ | spec.env
    env["PYTHONPATH"] = python_path(env)
    env["MLPERF_LLAMA_WORKER_ID"] = str(spec.id)
    if spec.gpus:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(spec.gpus)
    if spec.log_file:
        Path(spec.log_file).parent.mkdir(parents=True, exist_ok=True)
    with Path(spec.log_file or os.devnull).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sut.workers.main"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=env,
            start_new_session=True,
        )
    assert process.stdin is not None
    payload = msgspec.msgpack.encode(spec)
    try:
        process.stdin.write(len(payload).to_bytes(4, "little") + payload)
        process.stdin.flush()
    except BrokenPipeError:
        pass  # it died already; the exit is seen by the next poll
    return process


def describe_exit(code: int) -> str:
    """Say how a process ended, in words."""
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the process's whole group; a group that is gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


class LocalPool(WorkerPool):
    """``cache_dir`` and ``log_file`` of the specs are used as they are."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[int, subprocess.Popen[bytes]]] = {}

    def start(self, spec: WorkerSpec) -> None:
        self._running[spec.id] = (spec.incarnation, launch(spec))

    def exits(self) -> list[Exit]:
        gone = []
        for worker, (incarnation, process) in list(self._running.items()):
            code = process.poll()
            if code is not None:
                kill_group(process)  # whatever it left behind
                del self._running[worker]
                gone.append(Exit(worker, incarnation, code, describe_exit(code)))
        return gone

    def kill(self, worker: int) -> None:
        if worker in self._running:
            kill_group(self._running[worker][1])

    def close(self, grace_s: float) -> None:
        deadline = time.monotonic() + grace_s
        for _, process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            kill_group(process)
        for _, process in self._running.values():
            process.wait()
            if process.stdin:
                process.stdin.close()
        self._running.clear()
