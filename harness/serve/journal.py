"""Keeps serve.json: what was served, whom it answered and when, also for a server that is killed."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from pathlib import Path

from harness.rundir import names
from harness.rundir.files import write_record
from harness.rundir.served import ServedWorker, ServeRecord
from harness.serve.metrics import Metrics
from sut.serving import ServingHub
from sut.supervisor import WorkerView

EVERY_S = 30.0

log = logging.getLogger(__name__)


class Journal:
    """``record`` is what is known; the caller fills in what it knows itself."""

    def __init__(self, run_dir: Path, record: ServeRecord, *, hub: ServingHub, metrics: Metrics) -> None:
        self.record = record
        self._path = run_dir / names.SERVE
        self._hub = hub
        self._metrics = metrics
        self._due = 0.0

    def ready(self, *, chat_template: str) -> None:
        """The workers are loaded."""
        info = self._hub.engine
        self.record.outcome = "serving"
        self.record.ready = now()
        self.record.engine = f"{info.name} {info.version}" if info else None
        self.record.chat_template = chat_template
        self.write()

    def ended(self, *, left_open: int, reason: str | None) -> None:
        """Nobody is answered any more. ``reason``: what broke the workers, if they broke."""
        self.record.outcome = "broken" if reason else "stopped"
        self.record.reason = reason
        self.record.left_open = left_open
        self.record.ended = now()
        self.write()

    def write(self) -> None:
        """Write what is known now. A disk that is full is no reason to end streams: it is said in the log."""
        self._take()
        self._save()

    async def keep(self) -> None:
        """Write now and then, in a thread: no stream waits for a disk."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + EVERY_S
            self._take()
            await asyncio.to_thread(self._save)

    def _take(self) -> None:
        self.record.written = now()
        workers = list(self._hub.workers.values())
        self.record.answers = self._metrics.counts()
        self.record.answers.generated_tokens = sum(view.made for view in workers)
        self.record.answers.retried = self._hub.dispatcher.retried
        self.record.workers = [_worker(view) for view in workers]

    def _save(self) -> None:
        try:
            write_record(self._path, self.record)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._path, error.strerror or error)


def _worker(view: WorkerView) -> ServedWorker:
    return ServedWorker(
        id=view.spec.id,
        state=view.state.value,
        node=view.node or None,
        gpu=view.gpu,
        samples=view.samples,
        tokens=view.made,
        restarts=view.restarts,
        fault=view.fault or None,
    )


def now() -> str:
    """UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
