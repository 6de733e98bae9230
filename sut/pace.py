"""How far apart the turns of a busy thread are: what comes together shares a turn's cost.

A turn costs what it costs, whether it moves one sample or a hundred. Longer turns at higher rates were tried: at 10,000
and 20,000 samples/s on idle cores 2 ms took as much processor time as 1 ms and added a millisecond to first tokens.
"""

from __future__ import annotations

TURN_S = 0.001  # a hundredth of the smallest latency that anything is judged by
SPARE_TURNS = 4  # what comes now and then does not wait: this many turns may follow each other at once


class Pace:
    """The owner says when a turn ended, and asks how long to wait for the next. Times in s of one clock."""

    def __init__(self) -> None:
        self._due = 0.0

    def moved(self, now: float, *, more: bool = False) -> None:
        """A turn that had something to do ended ``now``. ``more``: there is more, and the next is due at once."""
        self._due = 0.0 if more else max(self._due, now - SPARE_TURNS * TURN_S) + TURN_S

    def left_s(self, now: float) -> float:
        """Until the next turn is due; not above 0: it is."""
        return self._due - now
