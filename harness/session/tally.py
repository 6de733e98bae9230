"""Samples as Prometheus wants them, by worker: histograms of their times, kept up by what completed since last time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from harness.monitor.families import LATENCY, TPOT, TTFT, Family
from harness.rundir.status import Histogram
from sut.record import SampleRecord

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
NAMES = ("issue_ns", "first_token_ns", "complete_ns", "input_tokens", "output_tokens", "worker")


@dataclass
class WorkerTally:
    """Of one worker. Without first tokens (Offline) ``ttft`` and ``tpot`` stay empty."""

    prompt_tokens: int = 0
    ttft: Histogram = field(default_factory=lambda: _empty(TTFT))
    tpot: Histogram = field(default_factory=lambda: _empty(TPOT))
    latency: Histogram = field(default_factory=lambda: _empty(LATENCY))


class Tally:
    """``workers``: what is known of each that has completed a sample."""

    def __init__(self) -> None:
        self.workers: dict[int, WorkerTally] = {}
        self._record: SampleRecord | None = None
        self._taken = 0

    def take(self, record: SampleRecord) -> None:
        """Add the samples that have completed since the last call."""
        if record is not self._record:
            self._record, self._taken = record, 0
        rows = record.rows(NAMES, first=self._taken)
        workers = rows[-1]
        self._taken += len(workers)
        for worker in np.unique(workers).tolist():
            mine = workers == worker
            self._add(self.workers.setdefault(worker, WorkerTally()), *(column[mine] for column in rows[:-1]))

    def _add(self, to: WorkerTally, issue: Ints, first: Ints, complete: Ints, read: Ints, made: Ints) -> None:
        to.prompt_tokens += int(read.sum())
        _count(LATENCY, to.latency, complete - issue)
        seen = first > 0
        _count(TTFT, to.ttft, (first - issue)[seen])
        several = seen & (made > 1)
        _count(TPOT, to.tpot, (complete - first)[several] / (made[several] - 1))


def _empty(family: Family) -> Histogram:
    return Histogram(counts=[0] * (len(family.buckets) + 1))


def _count(family: Family, into: Histogram, times_ns: Ints | Floats) -> None:
    if not len(times_ns):
        return
    seconds = times_ns / 1e9
    place = np.searchsorted(family.buckets, seconds)  # a bucket holds its upper bound, as Prometheus has it
    more = np.bincount(place, minlength=len(into.counts)).tolist()
    into.counts = [a + b for a, b in zip(into.counts, more, strict=True)]
    into.sum_s += float(seconds.sum())
