"""Real worker processes, the real wire, real signals; only the engine is the null one and LoadGen is a counter."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import zmq

from mlperf_llama_base.errors import EnvironmentFault, RunError, UserError
from sut.dispatcher import Dispatcher
from sut.hub import Hub
from sut.messages import EngineSettings, WorkerSpec
from sut.policies import make_order, make_policy
from sut.supervisor import State, SupervisorOptions
from sut.workers.local import LocalPool


class Rig:
    """A hub with null workers, and what it reported."""

    def __init__(
        self,
        tmp_path: Path,
        *,
        workers: int,
        offline: bool = False,
        options: SupervisorOptions | None = None,
        **args: Any,
    ) -> None:
        self.first: dict[int, int] = {}
        self.done: dict[int, int] = {}
        self.order: list[str] = []
        self.prompts = [np.arange(1 + i, 21 + i, dtype=np.int32).tobytes() for i in range(64)]
        self.pool = LocalPool()
        dispatcher = Dispatcher(
            policy=make_policy("auto", offline=offline, backlog=8, prefill_weight=8.0),
            order=make_order("issue"),
            block=64,
            max_attempts=4,
            first_tokens=not offline,
        )
        settings = EngineSettings(name="null", model="", first_tokens=not offline, args=args)
        specs = [
            WorkerSpec(
                id=i,
                endpoint="",
                engine=settings,
                log_file=str(tmp_path / f"w{i}.log"),
                heartbeat_s=0.2,
                warm_up_lengths=[8],
            )
            for i in range(workers)
        ]
        self.hub = Hub(
            dispatcher=dispatcher,
            pool=self.pool,
            specs=specs,
            prompts=self.prompts.__getitem__,
            deliver=self.deliver,
            options=options or SupervisorOptions(heartbeat_timeout_s=2.0),
            bind=f"ipc://{tmp_path}/wire",
        )
        self.hub.start()

    def deliver(self, first: list[tuple[int, bytes]], done: list[tuple[int, bytes]]) -> None:
        for sample, tokens in first:
            assert len(tokens) == 4 and sample not in self.done
            self.first[sample] = self.first.get(sample, 0) + 1
        for sample, _ in done:
            self.done[sample] = self.done.get(sample, 0) + 1

    def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if self.hub.failure:
                raise self.hub.failure
            assert time.monotonic() < deadline, self.hub.missing()
            time.sleep(0.01)

    def start(self) -> None:
        self.until(lambda: self.hub.ready == len(self.hub.workers))

    def issue(self, count: int) -> None:
        self.hub.issue([(i, i % 64) for i in range(count)])

    def close(self) -> None:
        self.hub.stop()
        self.pool.close(2.0)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(**kwargs: Any) -> Rig:
        rigs.append(Rig(tmp_path, **kwargs))
        return rigs[-1]

    yield make
    for one in rigs:
        one.close()
    time.sleep(0.1)
    assert not [p for p in psutil.Process().children(recursive=True) if is_worker(p)]


def is_worker(process: psutil.Process) -> bool:
    try:
        return "sut.workers.main" in " ".join(process.cmdline())
    except psutil.Error:  # it has ended already
        return False


def assert_complete(rig: Rig, count: int, *, first: bool = True) -> None:
    assert rig.done == dict.fromkeys(range(count), 1)
    assert rig.first == (dict.fromkeys(range(count), 1) if first else {})
    d = rig.hub.dispatcher
    assert d.issued == d.completed == count and not d.outstanding


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
    assert r.hub.lost and r.hub.lost[0]["worker"] == 0
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
    assert "no progress" in r.hub.lost[0]["reason"]


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


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = f"""
import sys, time
from sut.messages import EngineSettings, WorkerSpec
from sut.workers.local import launch
p = launch(WorkerSpec(id=0, endpoint="ipc://{tmp_path}/none", engine=EngineSettings(name="null", model="")))
print(p.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    time.sleep(1.0)
    worker.suspend()  # even a stopped one
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs([worker], timeout=10)
    assert gone and not alive


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
