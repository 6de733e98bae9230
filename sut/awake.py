"""Time that leaves out our own absence.

A paused container, a suspended machine or SIGSTOP stops this process and not the clock. Whoever then compares the clock
with what a worker last said blames the worker for its own absence. On this clock such a gap has not happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LONGEST_STEP_S = 2.0  # between two readings of a loop that runs; a longer one was an absence


class AwakeClock:
    """Seconds that grow with the monotonic clock while whoever owns this reads it, by ``LONGEST_STEP_S`` at most
    between two readings. To be read by one thread, and more often than that."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = clock()
        self.away_s = 0.0

    def now(self) -> float:
        now = self._clock()
        self.away_s += max(0.0, now - self._last - LONGEST_STEP_S)
        self._last = now
        return now - self.away_s
