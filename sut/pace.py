"""How far apart the turns of a busy thread are: what comes together shares a turn's cost.

A turn costs what it costs, whether it moves one sample or a hundred. The more come in a second, the longer they may
wait for each other: at few, where cost does not matter, as good as not at all.
"""

from __future__ import annotations

SHORTEST_S = 0.001  # a hundredth of the smallest latency that anything is judged by
LONGEST_S = 0.002  # up to twice that is added to a first token; 3 ms saved little more and cost more latency
SAMPLES_A_TURN = 2.5  # so many in the shortest turn; beyond that rate, turns grow with it
SPARE_TURNS = 4  # what comes now and then does not wait: this many turns may follow each other at once
MEMORY_S = 0.05  # of the rate


class Pace:
    """The owner says what each turn moved, and asks how long to wait for the next. Times in s of one clock."""

    def __init__(self) -> None:
        self._due = self._last = 0.0
        self._rate = 0.0

    @property
    def turn_s(self) -> float:
        """How long a turn is at the rate of late."""
        return min(LONGEST_S, max(SHORTEST_S, SHORTEST_S * SHORTEST_S / SAMPLES_A_TURN * self._rate))

    def moved(self, samples: float, now: float, *, more: bool = False) -> None:
        """A turn moved so many samples (an issue or an answer is half a one) and ended ``now``. ``more``: there is
        enough to do, and the next one is due at once.
        """
        passed = max(now - self._last, 1e-6)
        self._last = now
        self._rate += (samples / passed - self._rate) * min(1.0, passed / MEMORY_S)
        turn_s = self.turn_s
        self._due = 0.0 if more else max(self._due, now - SPARE_TURNS * turn_s) + turn_s

    def left_s(self, now: float) -> float:
        """Until the next turn is due; not above 0: it is."""
        return self._due - now
