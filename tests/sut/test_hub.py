"""Real worker processes, the real wire, real signals; only the engine is the null one and LoadGen is a counter."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq

from mlperf_llama_base.errors import EnvironmentFault, RunError, UserError
from sut.supervisor import State, SupervisorOptions
from tests.sut.rig import Rig, assert_complete


def test_every_sample_is_answered_once(rig: Callable[..., Rig]) -> None:
    r = rig(workers=3)
    r.start()
    r.issue(500)
    r.until(lambda: len(r.done) == 500)
    assert_complete(r, 500)
    assert all(w.samples > 0 for w in r.hub.workers.values())
    assert len(r.hub.record) == 500


def test_offline_sends_no_first_tokens(rig: Callable[..., Rig]) -> None:
    r = rig(workers=2, offline=True)
    r.start()
    r.issue(300)
    r.until(lambda: len(r.done) == 300)
    assert_complete(r, 300, first=False)


def test_tokens_are_counted_as_they_are_made(rig: Callable[..., Rig]) -> None:
    r = rig(workers=2, offline=True, step_ms=20.0, output_tokens=64)
    r.start()
    r.issue(32)
    r.until(lambda: sum(w.made for w in r.hub.workers.values()) > 0)
    assert not r.done  # a second before the first answer is whole
    r.until(lambda: len(r.done) == 32)
    r.until(lambda: all(w.counted == w.tokens for w in r.hub.workers.values()))
    assert sum(w.made for w in r.hub.workers.values()) == 32 * 64
    r.hub.new_test()
    assert [w.made for w in r.hub.workers.values()] == [0, 0]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_a_worker_struck_in_the_middle_costs_no_sample(rig: Callable[..., Rig], number: signal.Signals) -> None:
    r = rig(workers=2, step_ms=5.0, max_num_seqs=8)
    r.start()
    r.issue(60)
    r.until(lambda: len(r.done) >= 8)
    os.kill(r.hub.workers[0].pid, number)
    r.until(lambda: len(r.done) == 60)
    assert_complete(r, 60)
    assert r.hub.dispatcher.retried > 0
    assert r.hub.lost and r.hub.lost[0].worker == 0
    r.until(lambda: r.hub.workers[0].restarts == 1 and r.hub.workers[0].state == "ready")


@pytest.mark.parametrize("fault", ["raise@5", "exit@5", "fail@5", "empty@5", "garbage@5", "twice@5"])
def test_a_faulty_engine_costs_no_sample(rig: Callable[..., Rig], fault: str) -> None:
    r = rig(workers=2, fault=fault, fault_worker=0, vocab_size=128256)
    r.start()
    r.issue(200)
    r.until(lambda: len(r.done) == 200)
    assert_complete(r, 200)


def test_an_engine_that_hangs_while_its_process_beats_is_found(rig: Callable[..., Rig]) -> None:
    r = rig(workers=2, fault="hang@5", fault_worker=0, options=SupervisorOptions(stall_timeout_s=1.5))
    r.start()
    r.issue(100)
    r.until(lambda: len(r.done) == 100)
    assert_complete(r, 100)
    assert "no progress" in r.hub.lost[0].reason


def test_out_of_memory_at_start_is_an_environment_fault_and_not_tried_again(rig: Callable[..., Rig]) -> None:
    r = rig(workers=2, fault="oom@0")
    with pytest.raises(EnvironmentFault, match="out of memory"):
        r.until(lambda: False)
    assert [(w.restarts, w.spec.incarnation, w.state) for w in r.hub.workers.values()] == [(0, 0, State.DEAD)] * 2


def test_a_wrong_argument_that_only_a_worker_notices_is_the_users_error(rig: Callable[..., Rig]) -> None:
    r = rig(workers=2, max_num_seq=4)
    with pytest.raises(UserError, match="did you mean 'max_num_seqs'") as caught:
        r.until(lambda: False)
    assert "no worker is left" not in str(caught.value)


def test_when_nobody_is_left_the_run_ends(rig: Callable[..., Rig]) -> None:
    r = rig(workers=2, fault="exit@3", options=SupervisorOptions(max_restarts=0))
    r.start()
    r.issue(100)
    with pytest.raises(RunError, match="no worker is left"):
        r.until(lambda: False)


def test_a_sample_that_fails_everywhere_ends_the_run(rig: Callable[..., Rig]) -> None:
    r = rig(workers=1, output_tokens=128, vocab_size=5)  # every output is beyond the vocabulary
    r.start()
    r.issue(1)
    with pytest.raises(RunError, match="sample 0 of the data set failed 4 times"):
        r.until(lambda: False)


def test_strangers_on_the_wire_are_refused_and_counted(rig: Callable[..., Rig], tmp_path: Path) -> None:
    r = rig(workers=1, step_ms=2.0)
    r.start()
    context: zmq.Context[Any] = zmq.Context()
    stranger = context.socket(zmq.DEALER)
    stranger.setsockopt(zmq.IDENTITY, b"77:0")
    stranger.setsockopt(zmq.LINGER, 0)
    stranger.connect(r.hub.endpoint)
    for junk in (b"", b"garbage", b"\x93\x01\x02\x03", os.urandom(100_000)):
        stranger.send(junk)
    r.issue(20)
    r.until(lambda: len(r.done) == 20)
    r.until(lambda: r.hub.refused >= 4)
    assert_complete(r, 20)
    context.destroy(linger=0)


def test_a_worker_gets_all_that_is_given_to_it_at_once_in_one_message(
    rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig(workers=2)
    r.start()
    sent: list[Any] = []
    send = r.hub._router.send

    def spy(to: bytes, message: Any) -> None:
        sent.append(message)
        send(to, message)

    monkeypatch.setattr(r.hub._router, "send", spy)
    r.issue(60)
    r.until(lambda: len(r.done) == 60)
    assert [len(message.requests) for message in sent] == [30, 30]


def test_a_sample_is_on_record_before_loadgen_is_told_of_it(rig: Callable[..., Rig]) -> None:
    """With the last answer the test is over, and the record is saved."""
    r = rig(workers=1)
    r.start()
    told: list[int] = []
    missing: list[int] = []

    def take(first: Any, done: Any) -> None:
        told.extend(sample for sample, _ in done)
        missing.append(len(told) - len(r.hub.record))

    with r.hub.reporting_to(take):
        r.issue(20)
        r.until(lambda: len(told) == 20)
    assert set(missing) == {0}


def test_what_breaks_while_loadgen_is_told_ends_the_run(rig: Callable[..., Rig]) -> None:
    r = rig(workers=1)
    r.start()

    def broken(first: Any, done: Any) -> None:
        raise TypeError("no id")

    with r.hub.reporting_to(broken):
        r.issue(1)
        with pytest.raises(RunError, match="TypeError: no id"):
            r.until(lambda: False)


def test_issue_may_be_called_from_another_thread(rig: Callable[..., Rig]) -> None:
    r = rig(workers=2)
    r.start()

    def issue() -> None:
        for i in range(400):
            r.hub.issue([(i, i % 64)])

    thread = threading.Thread(target=issue)
    thread.start()
    thread.join()
    r.until(lambda: len(r.done) == 400)
    assert_complete(r, 400)
