"""A real worker process whose engine breaks: the reason is heard, the device is free again, nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from mlperf_llama_base.errors import RunError
from sut.supervisor import State, SupervisorOptions
from tests.helpers.waiting import until
from tests.sut.rig import Rig, assert_complete

ENGINES = "tests.sut.workers.engines"


def test_a_worker_that_does_not_end_after_its_fault_is_killed_and_started_again(rig: Callable[..., Rig]) -> None:
    options = SupervisorOptions(exit_timeout_s=1.0)
    r = rig(workers=2, engine=f"{ENGINES}:NeverCloses", fault="raise@5", fault_worker=0, options=options)
    r.start()
    pid = r.hub.workers[0].pid
    r.issue(40)
    r.until(lambda: len(r.done) == 40)
    assert_complete(r, 40)
    assert "injected: the engine broke" in r.hub.lost[0].reason
    r.until(lambda: r.hub.workers[0].restarts == 1 and r.hub.workers[0].state is State.READY)
    assert not psutil.pid_exists(pid)


def test_its_own_words_end_the_run_when_nobody_else_is_there(rig: Callable[..., Rig]) -> None:
    options = SupervisorOptions(exit_timeout_s=0.5, max_restarts=0)
    r = rig(workers=1, engine=f"{ENGINES}:NeverCloses", fault="raise@5", options=options)
    r.start()
    r.issue(40)
    with pytest.raises(RunError, match="no worker is left: RuntimeError: injected: the engine broke"):
        r.until(lambda: False)


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_what_a_worker_leaves_behind_ends_with_it(rig: Callable[..., Rig], how: str) -> None:
    fault = "exit@5" if how == "exit" else ""
    r = rig(workers=1, engine=f"{ENGINES}:LeavesSomethingBehind", fault=fault, step_ms=1.0)
    r.start()
    (other,) = psutil.Process(r.hub.workers[0].pid).children()
    assert os.getsid(other.pid) == other.pid
    r.issue(20)
    if how == "kill":
        os.kill(r.hub.workers[0].pid, signal.SIGKILL)
    r.until(lambda: r.hub.workers[0].restarts > 0)
    until(lambda: not other.is_running())


def test_nothing_is_left_when_all_is_over(rig: Callable[..., Rig]) -> None:
    r = rig(workers=1, engine=f"{ENGINES}:LeavesSomethingBehind")
    r.start()
    (other,) = psutil.Process(r.hub.workers[0].pid).children()
    r.close()
    assert not other.is_running()


@pytest.mark.parametrize("heartbeat_s", [0.2, float("inf")])
def test_a_wire_that_breaks_says_why(rig: Callable[..., Rig], heartbeat_s: float) -> None:
    """Not that no heartbeat came."""
    engine = f"{ENGINES}:BreaksTheWire" if heartbeat_s < 1 else "null"
    r = rig(workers=1, engine=engine, heartbeat_s=heartbeat_s, options=SupervisorOptions(max_restarts=1))
    words = "no such counter" if heartbeat_s < 1 else "cannot convert float infinity"
    with pytest.raises(RunError if heartbeat_s < 1 else Exception, match=f"its connection broke: .*{words}"):
        r.until(lambda: False)


def test_an_engine_is_not_asked_for_its_load_before_it_is_loaded(rig: Callable[..., Rig]) -> None:
    r = rig(workers=1, engine=f"{ENGINES}:HasNothingBeforeItIsLoaded", heartbeat_s=0.1)
    r.start()
    assert r.hub.workers[0].restarts == 0
    assert not r.hub.lost


def test_an_engine_that_cannot_be_built_is_heard_of(rig: Callable[..., Rig]) -> None:
    r = rig(workers=1, engine=f"{ENGINES}:CannotBeBuilt", options=SupervisorOptions(max_restarts=0))
    with pytest.raises(Exception, match="ZeroDivisionError: an engine of somebody else's"):
        r.until(lambda: False)


def test_our_own_absence_costs_no_worker(rig: Callable[..., Rig]) -> None:
    """The whole of us is stopped for longer than a heartbeat may take, as by a paused container; workers go on."""
    r = rig(workers=2, step_ms=2.0, options=SupervisorOptions(heartbeat_timeout_s=1.0))
    r.start()
    r.issue(30)
    r.until(lambda: len(r.done) > 0)
    stop_us_for(5.0)
    r.issue(30, first=30)
    r.until(lambda: len(r.done) == 60)
    assert not r.hub.lost and r.hub.dispatcher.retried == 0


def test_a_worker_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    log = tmp_path / "w.log"
    code = f"""
import time
from sut.messages import EngineSettings, WorkerSpec
from sut.workers.local import launch
settings = EngineSettings(name="null", model="")
spec = WorkerSpec(id=0, endpoint="ipc://{tmp_path}/none", engine=settings, log_file={str(log)!r})
print(launch(spec).pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    until(lambda: log.exists() and "loaded" in log.read_text())
    worker.suspend()  # even a stopped one
    parent.kill()
    parent.communicate()
    gone, alive = psutil.wait_procs([worker], timeout=30)
    assert gone and not alive


def stop_us_for(seconds: float) -> None:
    """SIGSTOP to this process, and SIGCONT from another one."""
    code = f"import os, signal, time; time.sleep({seconds}); os.kill({os.getpid()}, signal.SIGCONT)"
    helper = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    helper.wait()
