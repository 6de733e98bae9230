"""Time that leaves out our own absence.

A paused container, a suspended machine or SIGSTOP stops this process and not the clock. Whoever then compares the clock
with what a worker last said blames the worker for its own absence. On this clock such a gap has not happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class AwakeClock:
    """Seconds that grow with the monotonic clock while whoever owns this reads it: by ``longest_step_s`` at most from
    one reading to the next, since a loop that runs reads it more often. To be read by one thread."""

    def __init__(self, *, longest_step_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest_step_s = longest_step_s
        self._clock = clock
        self._last = clock()
        self.away_s = 0.0

    def now(self) -> float:
        now = self._clock()
        self.away_s += max(0.0, now - self._last - self._longest_step_s)
        self._last = now
        return now - self.away_s
