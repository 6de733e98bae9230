"""The one loop that serves all requests: it walks what the hub reports and writes chunks to the connections itself.

A coroutine is woken when a stream begins and when it ends, not for every token, which costs more than all the rest.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from typing import Any

from harness.serve.calls import Call
from harness.serve.problems import Problem
from sut.served import ServedSample

IN_A_TURN = 256  # choices that are served before new requests are looked at


class Answers:
    """All calls that are open, and the one loop that serves them. ``give_up(ids)`` tells the hub of samples that
    nobody waits for any more."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, chunk_s: float) -> None:
        self.open: dict[int, Call] = {}
        self.broken = asyncio.Event()
        self.give_up: Any = None
        self._loop = loop
        self._chunk_s = chunk_s
        self._news: deque[list[ServedSample] | None] = deque()
        self._dirty: dict[ServedSample, None] = {}
        self._held: dict[ServedSample, None] = {}  # until a chunk's time has come
        self._scheduled = False

    def put(self, samples: list[ServedSample] | None) -> None:
        """The hub's news, on its thread."""
        self._news.append(samples)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon_threadsafe(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        dirty = self._dirty
        while self._news:
            samples = self._news.popleft()
            if samples is None:
                self.broken.set()
            elif self._chunk_s:
                self._hold(samples)
            else:
                dirty.update(dict.fromkeys(samples))
        if len(dirty) <= IN_A_TURN:
            turn = list(dirty)
            dirty.clear()
        else:
            turn = list(itertools.islice(dirty, IN_A_TURN))
            for sample in turn:
                del dirty[sample]
        self._advance(turn)
        if dirty and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def show(self, call: Call) -> None:
        """What there is of a call whose stream has just begun."""
        self._advance([choice.sample for choice in call.choices])

    def _advance(self, samples: list[ServedSample]) -> None:
        over = []
        for sample in samples:
            choice = sample.listener
            if choice is None:
                continue
            if choice.flows and not (sample.done or sample.failure):
                choice.flow()
            elif choice.call.advance(choice):
                over.append(sample.id)
        if over:
            self.give_up(over)

    def _hold(self, samples: list[ServedSample]) -> None:
        """Keep tokens back that are neither the first nor the last of their stream, so that they share a chunk."""
        if not self._held:
            self._loop.call_later(self._chunk_s, self._release)
        for sample in samples:
            choice = sample.listener
            early = choice is not None and choice.sent and not sample.done and not sample.failure
            (self._held if early else self._dirty)[sample] = None

    def _release(self) -> None:
        self._dirty.update(self._held)
        self._held.clear()
        self._turn()

    def end_all(self, problem: Problem) -> None:
        """Nobody is answered any more."""
        for call in self.open.values():
            call.problem = call.problem or problem
            call.wake.set()

    def look(self, *, stalled_s: float, most_bytes: int) -> int:
        """Cut off clients that do not read. Returns how many."""
        now = time.monotonic()
        cut = 0
        for call in list(self.open.values()):
            if not call.begun:
                continue
            waiting = call.transport.get_write_buffer_size()
            if not waiting:
                call.blocked_since = 0.0
            elif not call.blocked_since:
                call.blocked_since = now
            if waiting > most_bytes or (call.blocked_since and now - call.blocked_since > stalled_s):
                call.transport.abort()
                cut += 1
        return cut
