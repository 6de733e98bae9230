"""When samples were due, for those who watch: LoadGen counts from the scheduled time, and says it to nobody.

Whoever starts a Server test knows the schedule (:mod:`harness.loadgen.schedule`). After a pause of ours LoadGen issues
all that became due meanwhile at once; counted from their receipt, those samples would look quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import sub

TOLERANCE_NS = 50_000_000  # the first sample, from whose receipt we reckon, may have reached us so late


class Arrivals:
    """``due_ns``: times of the samples in the order of their issue, from the first one's on; empty: not known.

    A schedule that samples are ahead of is not the one that LoadGen follows, and is dropped.
    """

    def __init__(self, due_ns: Sequence[int] = ()) -> None:
        self._due = due_ns
        self._taken = 0
        self._origin: int | None = None
        self._moved = 0

    def take(self, received_ns: list[int]) -> list[int]:
        """When the next samples, received at these times, were due, in ns of the same clock."""
        count = len(received_ns)
        start, self._taken = self._taken, self._taken + count
        due = self._due[start : self._taken]
        if not count or len(due) < count:
            return received_ns
        if self._origin is None:
            self._origin = received_ns[0] - due[0]
        ahead = self._origin + max(map(sub, due, received_ns))
        if ahead > 0:
            self._origin -= ahead
            self._moved += ahead
            if self._moved > TOLERANCE_NS:
                self._due = ()
                return received_ns
        origin = self._origin
        return [origin + at for at in due]
