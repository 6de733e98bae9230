"""Every sample waits, is held by one share, or is done, whatever befalls the shares."""

from __future__ import annotations

import random

import numpy as np
import pytest

from sut.front.ledger import Ledger
from sut.policies import make_order


def numbers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def ledger(count: int, *, first_tokens: bool = False) -> Ledger:
    made = Ledger(first_tokens=first_tokens)
    made.issue([1000 + i for i in range(count)], list(range(count)), [7 * i for i in range(count)])
    return made


def test_the_first_answer_wins() -> None:
    book = ledger(3)
    assert book.give(0, 2).tolist() == [0, 1]
    assert book.give(1, 5).tolist() == [2]
    assert book.complete(0, numbers(0)).tolist() == [True]
    assert book.complete(0, numbers(0, 1)).tolist() == [False, True]
    assert book.complete(0, numbers(2)).tolist() == [False]  # the other's
    assert (book.completed, book.duplicates, book.outstanding, book.held[:2]) == (2, 2, 1, [0, 1])
    assert book.column("ids", numbers(2)).tolist() == [1002]


def test_what_a_share_had_goes_first_to_the_others_and_its_answers_count_no_more() -> None:
    book = ledger(6)
    book.give(0, 3)
    book.complete(0, numbers(1))
    assert book.release(0).tolist() == [0, 2]
    assert (book.waiting, book.retried, book.held[0]) == (5, 2, 0)
    assert not book.complete(0, numbers(0, 2)).any()
    assert book.give(1, 1).tolist() == [0]
    given = book.give(1, 3)
    assert given.tolist() == [2, 3, 4]
    assert book.column("attempts", given).tolist() == [1, 0, 0]
    assert [sample.id for sample in book.in_flight()] == [1000, 1002, 1003, 1004, 1005]


def test_a_first_token_is_reported_once_and_known_to_who_has_the_sample_next() -> None:
    book = ledger(2, first_tokens=True)
    book.give(0, 2)
    token = np.array([42], np.int32)
    assert book.first(0, numbers(0), token, 99).tolist() == [True]
    assert book.first(0, numbers(0), token, 100).tolist() == [False]
    book.release(0)
    given = book.give(1, 2)
    assert book.column("first", given).tolist() == [42, 0]
    assert book.column("first_ns", given).tolist() == [99, 0]
    assert book.first(1, given, np.array([42, 43], np.int32), 101).tolist() == [False, True]
    assert [s.first_token for s in book.in_flight()] == [b"\x2a\0\0\0", b"\x2b\0\0\0"]


@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_number_that_was_never_issued_is_an_error(wrong: int) -> None:
    book = ledger(3)
    book.give(0, 3)
    with pytest.raises(IndexError):
        book.complete(0, numbers(0, wrong))
    assert book.completed == 0


@pytest.mark.parametrize("name", ["longest-first", "tail-longest-first"])
def test_a_query_is_sorted_as_one_hub_would(name: str) -> None:
    lengths = [5, 9, 1, 7, 3, 8, 2, 6]
    book = Ledger(first_tokens=False, lengths=lengths, order=make_order(name), block=4)
    book.issue(list(range(100, 108)), list(range(8)), [1] * 8)
    given = book.give(0, 8)
    expected = {"longest-first": [1, 3, 0, 2, 5, 7, 4, 6], "tail-longest-first": list(range(8))}[name]
    assert book.column("index", given).tolist() == expected
    assert book.column("ids", given).tolist() == [100 + i for i in expected]


def test_with_shares_lost_at_random_every_sample_is_reported_once() -> None:
    chance = random.Random(3)
    for _ in range(50):
        book = Ledger(first_tokens=False)
        reported: list[int] = []
        holds: dict[int, list[int]] = {0: [], 1: [], 2: []}
        for start in range(0, 3000, 1500):  # grows beyond its first arrays
            book.issue(list(range(start, start + 1500)), [0] * 1500, [0] * 1500)
        while book.outstanding:
            share = chance.randrange(3)
            what = chance.random()
            if what < 0.45:
                holds[share] += book.give(share, chance.randrange(1, 400)).tolist()
            elif what < 0.95 and holds[share]:
                chance.shuffle(holds[share])
                some = [holds[share].pop() for _ in range(min(200, len(holds[share])))]
                chosen = numbers(*some)
                reported += chosen[book.complete(share, chosen)].tolist()
            elif what >= 0.95:
                book.release(share)
                late = numbers(*holds[share][:5])
                reported += late[book.complete(share, late)].tolist()
                holds[share] = []
        assert sorted(reported) == list(range(3000)) and book.completed == 3000
