"""Every sample is in exactly one place and leaves once, whatever happens to workers and engines."""

from __future__ import annotations

import random
from array import array

import pytest

from mlperf_llama_base.errors import RunError
from sut.dispatcher import LATE_NS, Dispatcher
from sut.messages import Completion, Failure, FirstToken
from sut.policies import Sample, make_order, make_policy


def tokens(*ids: int) -> bytes:
    return array("i", ids).tobytes()


def make(*, offline: bool = False, max_attempts: int = 4, order: str = "issue", block: int = 100) -> Dispatcher:
    dispatcher = Dispatcher(
        policy=make_policy("auto", offline=offline, backlog=4, prefill_weight=8.0),
        order=make_order(order),
        block=block,
        max_attempts=max_attempts,
        first_tokens=not offline,
    )
    dispatcher.eos_token_ids = frozenset({9})
    dispatcher.vocab_size = 100
    return dispatcher


def issue(dispatcher: Dispatcher, count: int) -> None:
    dispatcher.issue([Sample(i, i, 10, 1) for i in range(count)])


def handed_out(dispatcher: Dispatcher) -> dict[int, list[int]]:
    given: dict[int, list[int]] = {}
    for worker, samples in dispatcher.assignments(2):
        given.setdefault(worker, []).extend(s.id for s in samples)
    return given


def test_a_sample_reports_its_first_token_and_completion_once() -> None:
    d = make()
    d.worker_ready(0, capacity=8, now_ns=0)
    issue(d, 1)
    assert handed_out(d) == {0: [0]}
    assert d.first_token(0, FirstToken(0, tokens(5)), 3) is not None
    assert d.first_token(0, FirstToken(0, tokens(5)), 4) is None
    sample, first = d.complete(0, Completion(0, tokens(5, 6, 9)), 5)
    assert sample is not None and not first
    assert d.complete(0, Completion(0, tokens(5, 6, 9)), 6) == (None, False)
    assert (d.issued, d.completed, d.duplicates, len(d.outstanding)) == (1, 1, 1, 0)


def test_a_completion_without_a_first_token_brings_it() -> None:
    d = make()
    d.worker_ready(0, capacity=8, now_ns=0)
    issue(d, 1)
    handed_out(d)
    sample, first = d.complete(0, Completion(0, tokens(5, 9)), 5)
    assert sample is not None and first and sample.first_ns == 5
    assert d.violations == {"no_first_token": 1}


def test_an_answer_of_full_length_needs_no_eos_and_an_unknown_eos_is_not_looked_for() -> None:
    for eos, output in (({9}, tokens(*[5] * 128)), (set(), tokens(5, 6, 7))):
        d = make(offline=True)
        d.eos_token_ids = frozenset(eos)
        d.worker_ready(0, capacity=8, now_ns=0)
        issue(d, 1)
        handed_out(d)
        d.complete(0, Completion(0, output, 128 if eos else -1), 5)
        assert not d.violations


@pytest.mark.parametrize(("counted", "violations"), [(-1, {}), (3, {}), (2, {"count_differs": 1})])
def test_another_count_of_the_tokens_must_be_the_same(counted: int, violations: dict[str, int]) -> None:
    d = make(offline=True)
    d.worker_ready(0, capacity=8, now_ns=0)
    issue(d, 1)
    handed_out(d)
    d.complete(0, Completion(0, tokens(5, 6, 9), counted), 5)
    assert d.violations == violations


def test_a_lost_workers_samples_go_to_others_and_the_first_token_is_not_reported_again() -> None:
    d = make()
    d.worker_ready(0, capacity=8, now_ns=0)
    issue(d, 3)
    handed_out(d)
    d.first_token(0, FirstToken(1, tokens(5)), 3)
    assert d.worker_lost(0) == 3
    assert handed_out(d) == {}
    d.worker_ready(1, capacity=8, now_ns=0)
    assert handed_out(d) == {1: [0, 1, 2]}
    assert d.first_token(1, FirstToken(1, tokens(5)), 6) is None
    for i in range(3):
        d.first_token(1, FirstToken(i, tokens(5)), 6)
        d.complete(1, Completion(i, tokens(5, 9)), 7)
    # a late answer of the dead worker changes nothing
    assert d.complete(0, Completion(0, tokens(5, 9)), 8) == (None, False)
    assert (d.completed, d.retried, len(d.outstanding)) == (3, 3, 0)
    assert not d.violations


def test_a_first_token_that_differs_after_a_retry_is_a_violation() -> None:
    d = make()
    for worker in (0, 1):
        d.worker_ready(worker, capacity=8, now_ns=0)
    issue(d, 1)
    (worker,) = handed_out(d)
    d.first_token(worker, FirstToken(0, tokens(5)), 3)
    d.worker_lost(worker)
    (other,) = handed_out(d)
    d.complete(other, Completion(0, tokens(7, 9)), 5)
    assert d.violations == {"first_token_mismatch": 1}


@pytest.mark.parametrize(
    ("output", "violation"),
    [
        (tokens(9), "too_short"),
        (tokens(5, 9, 9), "extra_eos"),
        (tokens(5, 9, 9, 9), "extra_eos"),
        (tokens(*[5] * 129), "too_long"),
        (tokens(5, 6, 7), "cut_short"),
    ],
)
def test_test06s_properties_are_checked_on_every_completion(output: bytes, violation: str) -> None:
    d = make(offline=True)
    d.worker_ready(0, capacity=8, now_ns=0)
    issue(d, 1)
    handed_out(d)
    assert d.complete(0, Completion(0, output), 5)[0] is not None
    assert d.violations == {violation: 1} and d.examples


@pytest.mark.parametrize("output", [b"", b"\x01\x02\x03", tokens(5, 100), tokens(-1, 9)])
def test_unusable_output_is_tried_again_and_then_ends_the_run(output: bytes) -> None:
    d = make(max_attempts=2)
    d.worker_ready(0, capacity=8, now_ns=0)
    issue(d, 1)
    handed_out(d)
    assert d.complete(0, Completion(0, output), 5) == (None, False)
    assert handed_out(d) == {0: [0]}
    with pytest.raises(RunError, match="failed 2 times"):
        d.complete(0, Completion(0, output), 6)


def given(d: Dispatcher, now_ns: int) -> int:
    return sum(len(samples) for _, samples in d.assignments(now_ns))


def test_only_who_waits_for_no_worker_is_handed_out_late() -> None:
    d = make()
    d.worker_ready(0, capacity=2, now_ns=0)  # and four of backlog
    issue(d, 10)
    late = 1 + LATE_NS
    assert given(d, late) == 6 and d.behind == 0
    for i in range(6):
        d.complete(0, Completion(i, tokens(5, 9)), late + 1)
    assert given(d, late + 1) == 4 and d.behind == 0  # they waited for the worker
    d.issue([Sample(20, 20, 10, 1), Sample(21, 21, 10, late)])
    assert given(d, late + 1) == 2 and d.behind == 1


def test_a_failure_counts_attempts() -> None:
    d = make(max_attempts=2)
    d.worker_ready(0, capacity=8, now_ns=0)
    issue(d, 1)
    handed_out(d)
    d.fail(0, Failure(0, "no"))
    handed_out(d)
    with pytest.raises(RunError, match="no"):
        d.fail(0, Failure(0, "no"))


@pytest.mark.parametrize("offline", [True, False])
def test_nothing_is_lost_in_a_random_history(offline: bool) -> None:
    rng = random.Random(1)
    d = make(offline=offline, max_attempts=1000)
    alive: set[int] = set()
    held: dict[int, set[int]] = {}
    issued = 0
    done: set[int] = set()
    for step in range(4000):
        action = rng.random()
        if action < 0.15 and issued < 2000:
            count = rng.randrange(1, 40)
            d.issue([Sample(issued + i, i, 5, 1) for i in range(count)])
            issued += count
        elif action < 0.2 and len(alive) < 6:
            worker = step
            alive.add(worker)
            held[worker] = set()
            d.worker_ready(worker, capacity=rng.randrange(1, 9), now_ns=step)
        elif action < 0.22 and alive:
            worker = rng.choice(sorted(alive))
            alive.discard(worker)
            assert d.worker_lost(worker) == len(held.pop(worker))
        elif alive:
            worker = rng.choice(sorted(alive))
            for sample in rng.sample(sorted(held[worker]), min(len(held[worker]), 5)):
                held[worker].discard(sample)
                if rng.random() < 0.1:
                    d.fail(worker, Failure(sample, "x"))
                else:
                    assert d.complete(worker, Completion(sample, tokens(5, 9)), step)[0] is not None
                    assert sample not in done
                    done.add(sample)
        for worker, samples in handed_out(d).items():
            held[worker].update(samples)
        assert len(d.outstanding) == d.issued - d.completed == len(d.queue) + sum(map(len, held.values()))
        for worker in alive:
            assert set(d.workers[worker].outstanding) == held[worker]
            assert 0 <= d.workers[worker].prefilling <= len(held[worker])
    d.worker_ready(-5, capacity=64, now_ns=0)
    held[-5] = set()
    for _ in range(20_000):
        for worker, given in handed_out(d).items():
            held[worker].update(given)
        for worker, owned in held.items():
            for sample in owned:
                d.complete(worker, Completion(sample, tokens(5, 9)), 9)
                done.add(sample)
            owned.clear()
        if not d.outstanding:
            break
    assert done == set(range(issued)) and d.completed == issued


def test_queries_that_came_together_are_not_sorted_across() -> None:
    d = make(order="longest-first")
    d.issue([Sample(i, i, 10 + i, 1) for i in range(4)], [1, 1, 1, 1])
    assert [s.id for s in d.queue] == [0, 1, 2, 3]
    d.issue([Sample(i, i, 10 + i, 1) for i in range(4, 8)])
    assert [s.id for s in d.queue] == [0, 1, 2, 3, 7, 6, 5, 4]
    d.issue([Sample(i, i, 10 + i, 1) for i in range(8, 12)], [1, 3])
    assert [s.id for s in d.queue][8:] == [8, 11, 10, 9]
