"""What the front knows of one share, and how its process is started."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from mlperf_llama_base import child
from sut.dispatching import Counts
from sut.front.messages import News, ShareSpec
from sut.record import SampleRecord
from sut.supervisor import LostWorker, State, WorkerView

SPEED_WINDOW_S = 2.0
Launch = Callable[[ShareSpec], child.Child]


@dataclass(eq=False)
class Part:
    """``heard``: when the share last spoke, in seconds of the front's clock. ``gone``: why it counts for nothing any
    more. ``done``: its completions in this test; ``offered``: what its engines could hold meanwhile, in samples x s.
    """

    spec: ShareSpec
    process: child.Child
    heard: float
    news: News | None = None
    counts: Counts = field(default_factory=Counts)
    gone: str | None = None
    cleaned: bool = False
    done: int = 0
    offered: float = 0.0
    since: float = 0.0
    heard_news: float = 0.0

    @property
    def room(self) -> int:
        """Samples that its workers may hold."""
        return self.news.room if self.news and self.gone is None else 0

    @property
    def dead(self) -> int:
        if self.gone is not None:
            return len(self.spec.workers)
        return self.news.dead if self.news else 0

    def new_test(self, now: float) -> None:
        self.counts = Counts()
        self.done, self.offered, self.since = 0, 0.0, now

    def hear(self, news: News, now: float) -> None:
        if self.news:
            self.offered += self.news.room * (now - max(self.since, self.heard_news))
        self.news, self.heard_news = news, now

    def rate(self, now: float) -> float:
        """Samples/s for each sample that it may hold; 0: not known yet."""
        return self.done / self.offered if self.offered and now - self.since > SPEED_WINDOW_S else 0.0

    def add_counts(self, total: Counts) -> None:
        """Add what this share has counted, but what was issued and completed: the ledger knows that."""
        counts = self.counts
        total.retried += counts.retried
        total.duplicates += counts.duplicates
        total.failures += counts.failures
        total.behind += counts.behind
        for kind, number in counts.violations.items():
            total.violations[kind] = total.violations.get(kind, 0) + number
        total.examples += counts.examples

    def lose_workers(self, views: dict[int, WorkerView], record: SampleRecord, *, returned: int) -> list[LostWorker]:
        """Its workers end with it. ``returned``: its samples, told with the first of them. What they have completed is
        on ``record``: the last news may be older.
        """
        lost = []
        worker, tokens = record.rows(["worker", "output_tokens"])
        for spec in self.spec.workers:
            view, mine = views[spec.id], worker == spec.id
            view.samples, view.tokens = int(np.count_nonzero(mine)), int(tokens[mine].sum())
            if view.state is not State.DEAD:
                lost.append(LostWorker(spec.id, view.node, self.gone or "", returned, round(time.time(), 3)))
                view.state, view.fault, returned = State.DEAD, self.gone or "", 0
        return lost

    @staticmethod
    def end_in_words(code: int) -> str:
        """How its process ended."""
        words = child.exit_in_words(code)
        return words if code >= 0 else f"was {words}"

    def clean_up(self) -> None:
        """Once its process has ended: end what it left behind."""
        if self.gone is not None and not self.cleaned and self.process.poll() is not None:
            self.cleaned = True
            child.clean_up(self.process)


def launcher(module: str, log: Path) -> Launch:
    """Starts shares as ``python -m MODULE``, which begins with :func:`sut.front.share.own_spec`."""

    def launch(spec: ShareSpec) -> child.Child:
        process = child.start(module, log=log, pipe=True)
        child.hand_over(process, msgspec.msgpack.encode(spec))
        return process

    return launch
