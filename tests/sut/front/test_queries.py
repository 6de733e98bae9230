"""LoadGen's lists are taken in their order, long ones in slices."""

from __future__ import annotations

import pytest

from sut.front import queries
from sut.front.queries import Queries


def put(made: Queries, *sizes: int) -> None:
    start = 0
    for size in sizes:
        ids = list(range(start, start + size))
        made.put((ids, [10 * i for i in ids], size))
        start += size


def test_many_queries_are_taken_at_once_and_a_long_one_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "AT_ONCE", 4)
    made = Queries(whole=False)
    put(made, 1, 1, 7, 1)
    taken = []
    while made:
        taken.append(made.take())
    assert [some.ids for some in taken] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert taken[0].indices == [0, 10, 20, 30] and taken[2].at_ns == [7, 1]


def test_a_query_that_will_be_sorted_is_taken_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "AT_ONCE", 4)
    made = Queries(whole=True)
    put(made, 1, 7)
    assert [len(made.take().ids), len(made.take().ids), bool(made)] == [1, 7, False]
