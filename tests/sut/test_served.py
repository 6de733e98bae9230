"""A server's dispatcher, in time that is made up: what fails ends alone, what was streamed goes on where it was."""

from __future__ import annotations

import numpy as np

from sut.messages import Completion, Failure, FirstToken, Limits
from sut.policies import make_order, make_policy
from sut.served import ServedDispatcher, ServedSample

EOS = 9


def packed(*ids: int) -> bytes:
    return np.array(ids, "<i4").tobytes()


def dispatcher(workers: int = 1) -> ServedDispatcher:
    policy = make_policy("auto", offline=False, backlog=8, prefill_weight=8.0)
    made = ServedDispatcher(
        policy=policy, order=make_order("issue"), block=1, max_attempts=2, first_tokens=True, eos_token_ids=[EOS]
    )
    for worker in range(workers):
        made.worker_ready(worker, capacity=4, now_ns=1)
    return made


def asked(d: ServedDispatcher, number: int = 1, limits: Limits | None = None) -> ServedSample:
    """A sample that a worker has."""
    sample = ServedSample(number, number, 3, 1, prompt=packed(1, 2, 3), limits=limits or Limits(8))
    d.issue([sample])
    assert [(w, s) for w, s in d.assignments(2)] == [(sample.worker, [sample])]
    return sample


def test_the_next_worker_goes_on_after_what_was_streamed() -> None:
    d = dispatcher()
    sample = asked(d, limits=Limits(8, 4, stream=True))
    d.first_token(0, FirstToken(1, packed(5)), 3)
    sample.answer += packed(5, 6, 7)
    d.worker_lost(0)
    d.worker_ready(1, capacity=4, now_ns=4)
    assert list(d.assignments(5)) == [(1, [sample])]
    request = d.request(sample)
    assert request.tokens == packed(1, 2, 3, 5, 6, 7)
    assert request.limits == Limits(5, 1, False, True, resumed=3)
    assert d.finish(1, sample, Completion(1, packed(8, EOS)), 6)
    assert bytes(sample.answer) == packed(5, 6, 7, 8, EOS) and sample.done and not d.violations
    assert not d.outstanding


def test_an_answer_that_lacks_only_the_last_word_is_whole() -> None:
    for tokens, most in ((packed(5, EOS), 8), (packed(5, 6), 2)):
        d = dispatcher()
        sample = asked(d, limits=Limits(most, stream=True))
        sample.answer += tokens
        d.worker_lost(0)
        assert d.ended == [sample] and sample.done and not d.outstanding and not d.queue


def test_an_answer_that_is_not_what_was_streamed_is_not_given() -> None:
    d = dispatcher()
    sample = asked(d, limits=Limits(8, stream=True))
    sample.answer += packed(5, 6)
    assert not d.finish(0, sample, Completion(1, packed(5, 7, EOS)), 3)
    assert not sample.done and list(d.queue) == [sample]


def test_what_fails_again_and_again_ends_alone() -> None:
    d = dispatcher()
    sample = asked(d)
    d.fail(0, Failure(1, "no"))
    assert list(d.assignments(3)) == [(0, [sample])]
    d.fail(0, Failure(1, "no"))
    assert d.ended == [sample] and sample.failure == "failed 2 times, last on worker 0: no" and not d.outstanding


def test_what_nobody_waits_for_leaves_and_is_not_tried_again() -> None:
    d = dispatcher()
    held = asked(d)
    assert d.cancel(1) == 0 and d.cancel(1) is None and d.cancel(77) is None
    waiting = ServedSample(2, 2, 3, 1, prompt=packed(1))
    d.issue([waiting])
    assert d.cancel(2) is None and not d.queue
    assert not d.finish(0, held, Completion(1, packed(5, EOS)), 3)
    assert not held.done and not d.outstanding and not d.workers[0].outstanding
    lost = asked(d, 3)
    d.cancel(3)
    d.worker_lost(0)
    assert not d.queue and not d.ended and lost.id not in d.outstanding


def test_what_cannot_be_sent_to_any_worker_ends_alone_and_is_not_tried_again() -> None:
    d = dispatcher()
    bad, good = asked(d), asked(d, 2)
    d.refuse(0, bad, "no message")
    assert d.ended == [bad] and bad.failure.endswith("no message") and not d.queue
    assert list(d.outstanding.values()) == [good] and d.held(0, 2) is good
