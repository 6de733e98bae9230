"""LoadGen's queries on their way into the ledger: in Offline one list of a hundred million, in Server as many lists."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

AT_ONCE = 65_536  # of a long list are taken in a turn: what is answered meanwhile does not wait for all of it


class Samples(NamedTuple):
    ids: list[int]
    indices: list[int]
    at_ns: list[int]


class Queries:
    """``whole``: a query's samples are taken together, and no other's with them, because they will be sorted."""

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole
        self._queue: deque[tuple[list[int], list[int], int]] = deque()
        self._taken = 0  # of the first of them

    def __bool__(self) -> bool:
        return bool(self._queue)

    def put(self, query: tuple[list[int], list[int], int]) -> None:
        """LoadGen's ids, the samples' indices, and when they were issued."""
        self._queue.append(query)

    def take(self) -> Samples:
        """The next samples, in the order of their issue."""
        if self._whole:
            ids, indices, at_ns = self._queue.popleft()
            return Samples(ids, indices, [at_ns] * len(ids))
        some = Samples([], [], [])
        while self._queue and len(some.ids) < AT_ONCE:
            ids, indices, at_ns = self._queue[0]
            begin, end = self._taken, min(len(ids), self._taken + AT_ONCE - len(some.ids))
            some.ids.extend(ids[begin:end])
            some.indices.extend(indices[begin:end])
            some.at_ns.extend([at_ns] * (end - begin))
            self._taken = end
            if end == len(ids):
                self._queue.popleft()
                self._taken = 0
        return some
