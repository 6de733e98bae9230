"""Queries without LoadGen: a probe must be able to end at any moment, and LoadGen cannot be called off.

The same Poisson arrivals that LoadGen's Server scenario makes, into the same hub, but with less chance in them, since a
probe is short: inside the judged window exactly rate x seconds queries arrive (given their number, a Poisson process'
arrivals are uniform), and any run of 64 samples has the data set's mix of lengths.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

STRATA = 64


def balanced_order(lengths: npt.NDArray[Any], rng: np.random.Generator) -> Iterator[int]:
    """Indices without end; each 64 in a row hold one of each 64th of the ``lengths`` ([n], sorted)."""
    strata = np.array_split(np.argsort(lengths, kind="stable"), min(STRATA, len(lengths)))
    decks: list[list[int]] = [[] for _ in strata]
    while True:
        for number in rng.permutation(len(strata)):
            if not decks[number]:
                decks[number] = rng.permutation(strata[number]).tolist()
            yield decks[number].pop()


class Traffic(threading.Thread):
    """Issues ``(id, index)`` pairs at their times. Ids count from 1; ``scheduled[id - 1]``: when it was due, in ns.

    Paused at first and at rate 0; :meth:`burst` issues at once. While ``refilling``, each query that is answered brings
    the next one.
    """

    def __init__(self, issue: Callable[[list[tuple[int, int]]], None], indices: Iterator[int], seed: int) -> None:
        super().__init__(name="traffic", daemon=True)
        self.scheduled = array("q")
        self.rate = 0.0
        self.refilling = False
        self._issue = issue
        self._indices = indices
        self._rng = np.random.default_rng(seed)
        self._window: deque[float] = deque()
        self._window_end = 0.0
        self._due: float | None = None
        self._stopped = False
        self._changed = threading.Condition()

    @property
    def next_id(self) -> int:
        return len(self.scheduled) + 1

    def set_rate(self, rate: float) -> None:
        """Arrivals/s from now on (a Poisson process has no memory, so a change needs no care)."""
        with self._changed:
            self.rate = rate
            self._window.clear()
            self._window_end = 0.0
            self._due = self._after(time.perf_counter()) if rate > 0 else None
            self._changed.notify()

    def open_window(self, seconds: float) -> tuple[int, int]:
        """Let exactly ``rate * seconds`` queries arrive in the next ``seconds``. Returns the ids ``[first, end)``."""
        with self._changed:
            count = max(1, round(self.rate * seconds))
            now = time.perf_counter()
            self._window = deque((now + np.sort(self._rng.uniform(0, seconds, count))).tolist())
            self._window_end = now + seconds
            self._due = self._window.popleft()
            self._changed.notify()
            return self.next_id, self.next_id + count

    def burst(self, count: int) -> None:
        with self._changed:
            batch = [self._take(time.perf_counter()) for _ in range(count)]
        self._issue(batch)

    def answered(self, first: list[tuple[int, bytes]], done: list[tuple[int, bytes]]) -> None:
        """Takes the reports of first tokens and completions, on the hub's thread."""
        if self.refilling and done:
            self.burst(len(done))

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self.join(5)

    def run(self) -> None:
        while True:
            with self._changed:
                if self._stopped:
                    return
                if self._due is None:
                    self._changed.wait()
                    continue
                now = time.perf_counter()
                if self._due > now:
                    self._changed.wait(self._due - now)
                    continue
                batch = []
                while self._due <= now:
                    batch.append(self._take(self._due))
                    self._due = self._following()
            self._issue(batch)

    def _following(self) -> float:
        assert self._due is not None
        return self._window.popleft() if self._window else self._after(max(self._due, self._window_end))

    def _after(self, moment: float) -> float:
        return moment + float(self._rng.exponential(1 / self.rate))

    def _take(self, due: float) -> tuple[int, int]:
        self.scheduled.append(int(due * 1e9))
        return len(self.scheduled), next(self._indices)
