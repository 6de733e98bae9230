"""Letting several LoadGens begin at the same moment, whatever their number and however slow the way to them.

All are asked for their time at once, which measures each clock's offset and how long an order to all of them takes. The
order to start then leaves several times as long as that, names a time in each member's own clock, and is called
back before anybody has begun if one of them did not get it in time.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import wait
from dataclasses import dataclass

from harness.scaling.crew import Crew
from harness.scaling.members import Handle

ROUNDS = 5
TRIES = 5
LEAST_S = 0.25
MARGIN = 4.0  # times the slowest round trip, for the order and for calling it back
log = logging.getLogger(__name__)


class Scattered(Exception):
    """Some began and some did not: these sessions are of no use any more."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Of a member. ``offset_s``: how far it is ahead of ours, from the shortest round trip; trips in seconds."""

    offset_s: float
    shortest_s: float
    longest_s: float


def start_together(crew: Crew, *, least_s: float = LEAST_S) -> dict[str, Clock]:
    """Let all that are left begin at once; ``crew.started`` is when. Returns their clocks.

    Raises what ``crew.fault`` says if nobody is left, ``Scattered`` if they could not be held together.
    """
    for attempt in range(TRIES):
        clocks: dict[str, Clock] = crew.each(lambda _, handle: measure_clock(handle))
        if not crew.left:
            raise crew.fault()
        reserve = max(least_s, MARGIN * max(clock.longest_s for clock in clocks.values())) * 2**attempt
        if _order(crew, clocks, reserve):
            return clocks
        log.info("the order to start took longer than %.2f s: once more", reserve)
    raise Scattered(f"after {TRIES} tries")


def _order(crew: Crew, clocks: dict[str, Clock], reserve: float) -> bool:
    """Name the time, ``2 * reserve`` from now; the first half for the order, the second for calling it back."""
    answer_by = time.time() + reserve
    at = answer_by + reserve
    orders = {name: (at + clock.offset_s, answer_by + clock.offset_s) for name, clock in clocks.items()}
    told = crew.submit("go", orders)
    wait(list(told.values()), timeout=answer_by - time.time())
    if all(call.done() and call.exception() is None and call.result() for call in told.values()):
        crew.started = at
        return True
    back = crew.submit("recall")
    calls = crew.answers(back)
    crew.answers(told)
    if not all(calls.values()):
        late = [name for name, in_time in calls.items() if not in_time]
        raise Scattered(f"{', '.join(late)} had begun")
    return False


def measure_clock(handle: Handle) -> Clock:
    """Ask a member for its time, some times over."""
    trips = []
    for _ in range(ROUNDS):
        sent = time.time()
        there = float(handle.call("now"))
        took = time.time() - sent
        trips.append((took, there - sent - took / 2))
    shortest = min(trips)
    return Clock(offset_s=shortest[1], shortest_s=shortest[0], longest_s=max(took for took, _ in trips))
