"""Who gets the next sample, and in which order."""

from __future__ import annotations

from collections import deque

import pytest

from mlperf_llama_base.errors import UserError
from sut.policies import ORDERS, POLICIES, Policy, Sample, WorkerLoad, make_order, make_policy


def book(policy: Policy, queue: deque[Sample], workers: dict[int, WorkerLoad]) -> dict[int, int]:
    given: dict[int, int] = dict.fromkeys(workers, 0)
    for worker, samples in policy.assign(queue, workers):
        for sample in samples:
            worker.outstanding[sample.id] = sample
            worker.prefilling += 1
        policy.touch(worker)
        given[worker.id] += len(samples)
    return given


def samples(count: int, length: int = 10) -> deque[Sample]:
    return deque(Sample(i, i, length, 0) for i in range(count))


def workers(*speeds: float, capacity: int = 64) -> dict[int, WorkerLoad]:
    return {i: WorkerLoad(i, capacity, speed=s) for i, s in enumerate(speeds)}


def test_credit_keeps_each_engine_full_and_no_more() -> None:
    policy = make_policy("credit", offline=True, backlog=16, prefill_weight=8)
    pool, queue = workers(0, 0), samples(1000)
    assert book(policy, queue, pool) == {0: 80, 1: 80}
    assert len(queue) == 840
    assert book(policy, queue, pool) == {0: 0, 1: 0}


def test_credit_shares_a_short_queue_instead_of_giving_it_to_the_first() -> None:
    policy = make_policy("credit", offline=True, backlog=16, prefill_weight=8)
    assert book(policy, samples(32), workers(0, 0, 0, 0)) == {0: 8, 1: 8, 2: 8, 3: 8}


def test_credit_gives_a_slow_worker_less_of_the_end() -> None:
    policy = make_policy("credit", offline=True, backlog=16, prefill_weight=8)
    given = book(policy, samples(30), workers(20.0, 10.0))
    assert given == {0: 20, 1: 10}


@pytest.mark.parametrize("count", [1, 2, 8])
def test_credit_does_not_keep_the_last_samples_back_from_engines_with_room(count: int) -> None:
    """On an H100 the last 16 of 2,000 waited until the engine was half empty: the run took half a second longer."""
    policy = make_policy("credit", offline=True, backlog=128, prefill_weight=8)
    pool = workers(*[60.0] * count, capacity=512)
    for worker in pool.values():
        worker.outstanding |= {-1 - i: Sample(-1 - i, 0, 10, 0) for i in range(558)}
    given = book(policy, samples(16), pool)
    assert given == dict.fromkeys(pool, 16 // count)


def test_credit_hands_out_everything() -> None:
    policy = make_policy("credit", offline=True, backlog=16, prefill_weight=8)
    pool, queue = workers(3.0, 1.0, 0.5), samples(5000)
    rounds = 0
    while queue:
        book(policy, queue, pool)
        for worker in pool.values():
            worker.outstanding.clear()
            policy.touch(worker)
        rounds += 1
        assert rounds < 5000


def test_prefill_aware_avoids_a_worker_whose_requests_still_wait_for_their_first_token() -> None:
    policy = make_policy("auto", offline=False, backlog=16, prefill_weight=8)
    pool = workers(0, 0)
    for i in range(5):  # five decode on 0, one waits for its first token on 1
        pool[0].outstanding[i] = Sample(i, i, 1, 0)
    pool[1].outstanding[9] = Sample(9, 9, 1, 0)
    pool[1].prefilling = 1
    for worker in pool.values():
        policy.touch(worker)
    assert book(policy, samples(1), pool) == {0: 1, 1: 0}


@pytest.mark.parametrize("name", ["prefill-aware", "least-pending", "round-robin"])
def test_server_policies_balance_and_forget_a_worker_that_left(name: str) -> None:
    policy = make_policy(name, offline=False, backlog=16, prefill_weight=8)
    pool = workers(0, 0, 0)
    for worker in pool.values():
        policy.touch(worker)
    assert book(policy, samples(30), pool) == {0: 10, 1: 10, 2: 10}
    del pool[1]
    assert set(book(policy, samples(10), pool)) == {0, 2}
    pool[1] = WorkerLoad(1, 64)  # a new incarnation under the old number
    policy.touch(pool[1])
    assert book(policy, samples(1), pool)[1] == 1


@pytest.mark.parametrize("name", ["prefill-aware", "least-pending", "round-robin"])
def test_what_no_worker_could_begin_waits_in_the_queue(name: str) -> None:
    policy = make_policy(name, offline=False, backlog=16, prefill_weight=8)
    pool, queue = workers(0, 0, capacity=4), samples(100)
    assert book(policy, queue, pool) == {0: 20, 1: 20}
    assert len(queue) == 60 and book(policy, queue, pool) == {0: 0, 1: 0}
    pool[1].outstanding.popitem()
    pool[1].prefilling -= 1
    policy.touch(pool[1])
    assert book(policy, queue, pool) == {0: 0, 1: 1}


def test_a_faster_worker_gets_more_in_server() -> None:
    policy = make_policy("prefill-aware", offline=False, backlog=16, prefill_weight=8)
    pool = workers(30.0, 10.0)
    for worker in pool.values():
        policy.touch(worker)
    assert book(policy, samples(40), pool) == {0: 30, 1: 10}


@pytest.mark.parametrize("name", list(ORDERS))
def test_no_order_crosses_a_data_set_boundary(name: str) -> None:
    block = 50
    issued = [Sample(i, i % block, (i * 37) % 101, 0) for i in range(4 * block)]
    arranged = list(make_order(name)(issued, block))
    for start in range(0, len(issued), block):
        assert {s.id for s in arranged[start : start + block]} == set(range(start, start + block))


def test_only_the_tail_is_sorted() -> None:
    issued = [Sample(i, i, (i * 37) % 101, 0) for i in range(100)]
    arranged = list(make_order("tail-longest-first")(issued, 100))
    assert [s.id for s in arranged[:90]] == list(range(90))
    tail = [s.length for s in arranged[90:]]
    assert tail == sorted(tail, reverse=True)


def test_unknown_names_tell_the_nearest() -> None:
    with pytest.raises(UserError, match="'credit'"):
        make_policy("credits", offline=True, backlog=1, prefill_weight=1)
    with pytest.raises(UserError, match="'longest-first'"):
        make_order("longest")
    assert set(POLICIES) == {"credit", "prefill-aware", "least-pending", "round-robin"}
