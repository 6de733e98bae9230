"""Which share has which sample: the truth that none is lost and none reported twice.

Pure, as the dispatcher is: no thread, no socket. Some 22 bytes a sample, in arrays by its number in the test.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sut.policies import Order, Sample

Array = npt.NDArray[Any]
Column = Sequence[int] | Array
WAITING, DONE = -1, -2
MOST_SHARES = 64


class Ledger:
    """Every issued sample waits, or is held by one share, or is done; it becomes that once.

    ``first_tokens``: they are reported by themselves. ``order``: of a query's samples within blocks of ``block``, by
    ``lengths`` of the data set; None: as issued.
    """

    COLUMNS = (("ids", "<u8"), ("index", "<i4"), ("issue_ns", "<i8"), ("where", "i1"), ("attempts", "i1"))
    FIRST = (("first", "<i4"), ("first_ns", "<i8"))

    def __init__(
        self, *, first_tokens: bool, lengths: Sequence[int] = (), order: Order | None = None, block: int = 1
    ) -> None:
        self._lengths, self._order, self._block = lengths, order, block
        self.first_tokens = first_tokens
        self.new_test()

    def new_test(self) -> None:
        """Forget all samples."""
        kinds = self.COLUMNS + (self.FIRST if self.first_tokens else ())
        self._table = {name: np.zeros(1024, kind) for name, kind in kinds}
        self.issued = self.completed = self.duplicates = self.retried = 0
        self._next = 0  # given by nobody yet, from here on
        self._again: deque[Array] = deque()  # given back: these go first
        self.held = [0] * MOST_SHARES

    @property
    def sorts(self) -> bool:
        return self._order is not None

    @property
    def outstanding(self) -> int:
        return self.issued - self.completed

    @property
    def waiting(self) -> int:
        """Samples that no share has."""
        return self.issued - self._next + sum(map(len, self._again))

    def column(self, name: str, numbers: Array) -> Array:
        """What is known of these samples."""
        found: Array = self._table[name][numbers]
        return found

    def issue(self, ids: Column, indices: Column, issue_ns: Column) -> None:
        """A query's samples, or some of it."""
        start, end = self.issued, self.issued + len(ids)
        if end > len(self._table["ids"]):
            more = max(end, 2 * len(self._table["ids"])) - len(self._table["ids"])
            self._table = {
                name: np.append(column, np.zeros(more, column.dtype)) for name, column in self._table.items()
            }
        table = self._table
        table["ids"][start:end] = ids
        table["index"][start:end] = indices
        table["issue_ns"][start:end] = issue_ns
        table["where"][start:end] = WAITING
        if self._order is not None and len(ids) > 1:
            self._sort(start, end)
        self.issued = end

    def _sort(self, start: int, end: int) -> None:
        assert self._order is not None
        indices = self._table["index"][start:end].tolist()
        samples = [Sample(at, index, self._lengths[index], 0) for at, index in enumerate(indices)]
        places = [start + sample.id for sample in self._order(samples, self._block)]
        for name in ("ids", "index", "issue_ns"):
            self._table[name][start:end] = self._table[name][places]

    def give(self, share: int, count: int) -> Array:
        """Hand ``count`` samples that wait (fewer, where there are fewer) to a share. Returns their numbers, int64."""
        parts: list[Array] = []
        while self._again and count:
            some = self._again.popleft()
            if len(some) > count:
                self._again.appendleft(some[count:])
                some = some[:count]
            parts.append(some)
            count -= len(some)
        fresh = min(count, self.issued - self._next)
        parts.append(np.arange(self._next, self._next + fresh, dtype=np.int64))
        self._next += fresh
        numbers = np.concatenate(parts) if len(parts) > 1 else parts[0]
        self._table["where"][numbers] = share
        self.held[share] += len(numbers)
        return numbers

    def first(self, share: int, numbers: Array, tokens: Array, now_ns: int) -> Array:
        """Book first tokens (int32). Returns which of them (bool) are to be reported.

        Raises ``IndexError`` for a number that was never issued; so does :meth:`complete`.
        """
        self._known(numbers)
        fresh: Array = (self._table["where"][numbers] == share) & (self._table["first_ns"][numbers] == 0)
        chosen = numbers[fresh]
        self._table["first"][chosen] = tokens[fresh]
        self._table["first_ns"][chosen] = now_ns
        return fresh

    def complete(self, share: int, numbers: Array) -> Array:
        """Book completions, each number once. Returns which (bool) are to be reported: the first answer wins."""
        self._known(numbers)
        fresh: Array = self._table["where"][numbers] == share
        self._table["where"][numbers[fresh]] = DONE
        count = int(np.count_nonzero(fresh))
        self.held[share] -= count
        self.completed += count
        self.duplicates += len(numbers) - count
        return fresh

    def _known(self, numbers: Array) -> None:
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < self.issued:
            raise IndexError("a sample that was not issued")

    def release(self, share: int) -> Array:
        """A share is gone: what it held goes first to the others. Returns those samples' numbers."""
        back = np.flatnonzero(self._table["where"][: self.issued] == share)
        self._table["where"][back] = WAITING
        attempts = self._table["attempts"]
        attempts[back] = np.minimum(attempts[back], 126) + 1
        if len(back):
            self._again.appendleft(back)
        self.held[share] = 0
        self.retried += len(back)
        return back

    def in_flight(self) -> list[Sample]:
        """The outstanding samples."""
        numbers = np.flatnonzero(self._table["where"][: self.issued] != DONE)
        names = ("ids", "index", "issue_ns")
        rows = zip(*(self._table[name][numbers].tolist() for name in names), strict=True)
        samples = [Sample(i, index, self._lengths[index] if self._lengths else 0, at) for i, index, at in rows]
        if self.first_tokens:
            for sample, first, at in zip(
                samples, self._table["first"][numbers], self._table["first_ns"][numbers].tolist(), strict=True
            ):
                sample.first_token, sample.first_ns = (first.tobytes() if at else b""), at
        return samples
