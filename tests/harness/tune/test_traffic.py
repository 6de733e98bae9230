from __future__ import annotations

import itertools
import threading

import numpy as np

from harness.tune.traffic import STRATA, Traffic, balanced_order


def test_any_64_in_a_row_have_the_data_sets_mix_of_lengths() -> None:
    lengths = np.random.default_rng(0).integers(60, 2540, 640)
    order = np.array(list(itertools.islice(balanced_order(lengths, np.random.default_rng(1)), 10 * STRATA)))
    ranks = np.argsort(np.argsort(lengths, kind="stable"))[order].reshape(10, STRATA)
    assert all(sorted(r // 10) == list(range(STRATA)) for r in ranks)
    assert sorted(order) == list(range(640))  # a round of all


def test_a_small_data_set_is_asked_again_and_again() -> None:
    taken = list(itertools.islice(balanced_order(np.array([5, 3, 9]), np.random.default_rng(0)), 9))
    assert sorted(taken) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_a_window_has_exactly_its_queries_and_load_goes_on_behind_it() -> None:
    issued: list[int] = []
    behind = threading.Event()

    def issue(batch: list[tuple[int, int]]) -> None:
        issued.extend(i for i, _ in batch)
        if traffic.rate and len(issued) > 400:
            behind.set()

    traffic = Traffic(issue, itertools.count(), seed=0)
    traffic.start()
    traffic.set_rate(500)
    first, end = traffic.open_window(0.5)
    assert end - first == 250
    assert behind.wait(30)
    traffic.set_rate(0)
    due = np.array(traffic.scheduled[first - 1 : end - 1])
    assert (np.diff(due) >= 0).all()
    assert due[-1] - due[0] <= 0.5e9
    assert traffic.scheduled[end - 1] > due[0] + 0.4e9
    traffic.stop()
    assert issued == list(range(1, len(issued) + 1))
    assert not traffic.is_alive()


def test_a_burst_is_issued_at_once_and_nothing_follows() -> None:
    issued: list[tuple[int, int]] = []
    traffic = Traffic(issued.extend, itertools.count(7), seed=0)
    traffic.start()
    traffic.burst(3)
    traffic.stop()
    assert issued == [(1, 7), (2, 8), (3, 9)]
    assert traffic.next_id == 4
