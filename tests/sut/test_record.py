"""A row for each completed sample, and percentiles of the last ones."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sut import record
from sut.policies import Sample
from sut.record import SampleRecord

MS = 1_000_000


def done(id_: int, *, issue: int, first: int, attempts: int = 1) -> Sample:
    return Sample(
        id_, 7, 20, issue, dispatch_ns=issue + 1, first_ns=first, worker=3, attempts=attempts, first_token=b"abcd"
    )


def add(r: SampleRecord, sample: Sample, tokens: int, at: int) -> None:
    r.add([sample], [bytes(4 * tokens)], at)


def test_a_row_is_what_was_known_of_the_sample() -> None:
    r = SampleRecord()
    add(r, done(2**63, issue=100, first=200), 11, 900)
    assert {name: r.column(name).tolist() for name in r.columns} == {
        "sample_id": [2**63],
        "qsl_idx": [7],
        "issue_ns": [100],
        "dispatch_ns": [101],
        "first_token_ns": [200],
        "complete_ns": [900],
        "input_tokens": [20],
        "output_tokens": [11],
        "worker": [3],
        "attempts": [1],
    }


def test_percentiles_are_of_the_first_token_and_of_those_after_it() -> None:
    r = SampleRecord()
    for i in range(1, 101):
        add(r, done(i, issue=0, first=i * MS), 11, i * MS + 10 * i * MS)
    ttft, tpot = r.percentiles()
    assert ttft == pytest.approx(np.percentile(np.arange(1, 101), 99))
    assert tpot == pytest.approx(np.percentile(np.arange(1, 101), 99))


def test_a_single_token_has_no_time_between_tokens() -> None:
    r = SampleRecord()
    add(r, done(1, issue=0, first=5 * MS), 1, 5 * MS)
    assert r.percentiles() == (5.0, 0.0)


def test_only_the_last_ones_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RECENT", 10)
    r = SampleRecord()
    for i in range(20):
        add(r, done(i, issue=0, first=(1000 if i < 10 else 1) * MS), 2, 2000 * MS)
    assert r.percentiles()[0] == 1.0


def test_without_first_tokens_there_are_none() -> None:
    r = SampleRecord()
    assert r.percentiles() == (None, None)
    add(r, done(1, issue=0, first=0), 5, 9)
    assert r.percentiles() == (None, None)


def test_many_attempts_fit() -> None:
    r = SampleRecord()
    add(r, done(1, issue=0, first=1, attempts=1000), 5, 9)
    assert r.column("attempts").tolist() == [127]


def test_it_is_read_while_it_grows() -> None:
    """The display asks from another thread; columns may then differ by a row, and nothing else."""
    r = SampleRecord()
    stop = threading.Event()

    def fill() -> None:
        for i in range(1, 200_000):
            if stop.is_set():
                return
            add(r, done(i, issue=0, first=2 * MS), 2, 5 * MS)

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        while len(r) < 1000:
            pass
        for _ in range(200):
            assert r.percentiles() == (2.0, 3.0)
    finally:
        stop.set()
        thread.join()


def test_rows_that_another_record_has_had_are_added_as_they_were() -> None:
    here, there = SampleRecord(), SampleRecord()
    for number in range(5):
        add(there, done(2**63 + number, issue=100, first=200), 11 + number, 900)
    expected = {name: there.column(name).tolist() for name in there.columns}
    taken = there.take()
    assert len(there) == 0
    here.add_columns(taken, [bytes(44), bytes(48)])
    assert {name: here.column(name).tolist() for name in here.columns} == expected
    assert here.answers == [(7, 3, bytes(44)), (7, 3, bytes(48))]
