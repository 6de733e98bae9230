"""What share of its time a thread is at work: one that is never asleep cannot do more."""

from __future__ import annotations

import time
from collections.abc import Callable


class Duty:
    """The owner says when it has slept; any thread may ask for ``share``."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self._began, self._slept = self._clock(), 0.0

    def slept(self, seconds: float) -> None:
        self._slept += seconds

    @property
    def share(self) -> float:
        """At work, of the time since the beginning: 0 to 1."""
        passed = self._clock() - self._began
        return min(1.0, max(0.0, 1 - self._slept / passed)) if passed > 0 else 0.0
