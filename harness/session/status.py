"""status.json: the live state of a run, for the progress display and for anyone who watches."""

from __future__ import annotations

import os
import time
from collections import deque
from pathlib import Path

from harness.config import Mode, RunConfig, Scenario
from harness.rounds import ROUND
from harness.rundir.files import write_record
from harness.rundir.names import STATUS
from harness.rundir.status import Status, WorkerStatus
from harness.session.tally import Tally, WorkerTally
from mlperf_llama_base.node import node_name
from sut.dispatching import Dispatching

WINDOW_S = 5.0
Count = tuple[int, float]
"""Tokens that a worker had made when it last said so, and when that was: a rate is over its beats, not over ours."""


class StatusWriter:
    """Turns the hub's counters into ``status.json``. ``expected``: samples that the test will issue, if known."""

    def __init__(self, config: RunConfig, run_dir: Path) -> None:
        self.config = config
        self.path = run_dir / STATUS
        self.phase = "loading data"
        self.hub: Dispatching | None = None
        self.expected: int | None = None
        self.scheduled_s: float | None = None
        self.started: float | None = None
        self.message: str | None = None
        self._tally = Tally() if config.monitor.metrics_port is not None else None
        self._recent: deque[tuple[float, int, dict[int, Count]]] = deque()
        self._percentiles: tuple[float | None, float | None] = (None, None)
        self._percentiles_at = 0.0

    def write(self) -> None:
        """Replace the file; a full disk must not end a run that is otherwise fine."""
        try:
            write_record(self.path, self.state())
        except OSError as error:
            self.message = f"status.json cannot be written: {error}"

    def state(self) -> Status:
        limits = ROUND.limits_ns.get(self.config.scenario)
        elapsed = time.monotonic() - self.started if self.started else 0.0
        status = Status(
            time=time.time(),
            pid=os.getpid(),
            node=node_name(),
            scenario=self.config.scenario.value,
            mode=self.config.mode.value,
            phase=self.phase,
            expected=self.expected,
            elapsed_s=elapsed,
            ttft_limit_ms=limits.ttft / 1e6 if limits else None,
            tpot_limit_ms=limits.tpot / 1e6 if limits else None,
            message=self.message,
        )
        if self.hub is not None:
            self._fill(status, self.hub, elapsed)
        return status

    def _fill(self, status: Status, hub: Dispatching, elapsed: float) -> None:
        counted, now = hub.counts, time.monotonic()
        counts = {i: (w.counted, w.beat_at) for i, w in hub.workers.items()}
        self._recent.append((now, counted.completed, counts))
        begin = max(now - WINDOW_S, self.started or 0.0)  # what was before the test is no rate of it
        while len(self._recent) > 1 and self._recent[0][0] < begin:
            self._recent.popleft()
        then, done_then, counts_then = self._recent[0]
        rates = {i: rate(counts_then.get(i), count) for i, count in counts.items()}
        tokens = sum(w.made for w in hub.workers.values())
        due = self.phase == "finished" or now - self._percentiles_at > 1
        if self.config.scenario is not Scenario.OFFLINE and due:
            self._percentiles, self._percentiles_at = hub.record.percentiles(), now
        status.issued, status.completed, status.tokens = counted.issued, counted.completed, tokens
        status.samples_per_s = (counted.completed - done_then) / max(now - then, 1e-3)
        status.tokens_per_s = sum(rates.values())
        status.tokens_per_s_mean = tokens / elapsed if elapsed > 0 else None
        status.ttft_p99_ms, status.tpot_p99_ms = self._percentiles
        status.eta_s = self._eta(elapsed, counted.completed)
        status.retried = counted.retried
        status.restarts = sum(w.restarts for w in hub.workers.values())
        status.workers = _workers(hub, rates)
        if self._tally is not None:
            self._tally.take(hub.record)
            _add_times(status.workers, self._tally)

    def _eta(self, elapsed: float, completed: int) -> float | None:
        if self.phase == "finished":
            return 0.0
        if self.scheduled_s and self.config.mode is Mode.PERFORMANCE:
            return max(0.0, self.scheduled_s - elapsed)
        if not self.expected or not completed or not elapsed:
            return None
        return max(0.0, (self.expected - completed) * elapsed / completed)


def rate(then: Count | None, now: Count) -> float:
    """Tokens a second between two counts; 0 of a worker that has said nothing since."""
    if then is None or now[1] <= then[1]:
        return 0.0
    return (now[0] - then[0]) / (now[1] - then[1])


def _workers(hub: Dispatching, rates: dict[int, float]) -> list[WorkerStatus]:
    return [
        WorkerStatus(
            id=i,
            node=w.node,
            gpu=w.gpu,
            state=w.state,
            outstanding=hub.held(i),
            running=w.beat.running,
            waiting=w.beat.waiting,
            samples=w.samples,
            tokens=w.made,
            tokens_per_s=rates.get(i, 0.0),
            restarts=w.restarts,
            rss_bytes=w.beat.rss_bytes,
        )
        for i, w in hub.workers.items()
    ]


def _add_times(workers: list[WorkerStatus], tally: Tally) -> None:
    for worker in workers:
        times = tally.workers.get(int(worker.id), WorkerTally())
        worker.prompt_tokens = times.prompt_tokens
        worker.ttft, worker.tpot, worker.latency = times.ttft, times.tpot, times.latency
