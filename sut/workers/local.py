"""Worker processes on this machine. The spec goes through stdin (it may hold keys), which stays open: its end tells
the worker that we are gone."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import msgspec

from mlperf_llama_base import child
from sut.messages import WorkerSpec
from sut.workers.base import Exit, WorkerPool

log = logging.getLogger("workers")


def launch(spec: WorkerSpec) -> child.Child:
    """Start one worker process. Its output goes to ``spec.log_file`` (appended). Raises ``OSError``."""
    env = spec.env | {"MLPERF_LLAMA_WORKER_ID": str(spec.id)}
    if spec.gpus:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(spec.gpus)
    process = child.start("sut.workers.main", log=Path(spec.log_file) if spec.log_file else None, env=env, pipe=True)
    child.hand_over(process, msgspec.msgpack.encode(spec))
    return process


class LocalPool(WorkerPool):
    """``cache_dir`` and ``log_file`` of the specs are used as they are."""

    def __init__(self) -> None:
        self._running: dict[int, tuple[int, child.Child]] = {}

    def start(self, spec: WorkerSpec) -> None:
        self._running[spec.id] = (spec.incarnation, launch(spec))

    def exits(self) -> list[Exit]:
        gone = []
        for worker, (incarnation, process) in list(self._running.items()):
            code = process.poll()
            if code is not None:
                child.clean_up(process)
                del self._running[worker]
                gone.append(Exit(worker, incarnation, code, child.exit_in_words(code)))
        return gone

    def kill(self, worker: int) -> None:
        if worker in self._running:
            child.kill_group(self._running[worker][1])

    def close(self, grace_s: float) -> None:
        deadline = time.monotonic() + grace_s
        for worker, (_, process) in self._running.items():
            if not child.end(process, grace_s=max(0.0, deadline - time.monotonic()), ask=False):
                log.error("process %d of worker %d cannot be killed: it still holds its device", process.pid, worker)
        self._running.clear()
