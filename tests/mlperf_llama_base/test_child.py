"""Real processes and real signals: whatever they do, nobody is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from mlperf_llama_base import child, orphans

STUBBORN = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
ASKED = """
import time
print("up", flush=True)
try:
    time.sleep(600)
except KeyboardInterrupt:
    print("bye")
"""
LEAVES = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], child.Child]]:
    """Starts a module of the given text and waits until it has said something."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    started: list[child.Child] = []

    def one(code: str) -> child.Child:
        (tmp_path / "stand_in_module.py").write_text(code)
        log = tmp_path / "logs" / f"{len(started)}.log"
        process = child.start("stand_in_module", log=log)
        started.append(process)
        until(lambda: log.exists() and "up" in log.read_text())
        return process

    yield one
    for process in started:
        child.end(process, grace_s=0.0)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_is_asked_first(start: Callable[[str], child.Child], tmp_path: Path) -> None:
    process = start(
        "import time\nprint('up', flush=True)\ntry: time.sleep(600)\nexcept KeyboardInterrupt: print('bye')"
    )
    assert child.end(process, grace_s=30)
    assert process.returncode == 0
    assert "bye" in (tmp_path / "logs" / "0.log").read_text()


@pytest.mark.parametrize("stopped", [False, True])
def test_who_does_not_listen_is_killed(start: Callable[[str], child.Child], stopped: bool) -> None:
    process = start(STUBBORN)
    if stopped:
        process.send_signal(signal.SIGSTOP)
    assert child.end(process, grace_s=0.1)
    assert process.returncode == -signal.SIGKILL
    assert child.exit_in_words(process.returncode) == "killed by SIGKILL"


def test_what_left_the_group_is_found_and_ended(start: Callable[[str], child.Child]) -> None:
    process = start(LEAVES)
    until(lambda: psutil.Process(process.pid).children())
    (daemon,) = psutil.Process(process.pid).children()
    assert os.getsid(daemon.pid) == daemon.pid  # no signal to the child's group reaches it
    child.end(process, grace_s=0.0)
    assert not daemon.is_running()


def test_an_orphan_of_somebody_else_is_left_alone(start: Callable[[str], child.Child]) -> None:
    process = start(LEAVES)
    until(lambda: psutil.Process(process.pid).children())
    (daemon,) = psutil.Process(process.pid).children()
    process.kill()
    process.wait()
    until(lambda: daemon.ppid() == os.getpid())
    assert orphans.end(process.family + "0") == 0
    assert daemon.is_running()
    assert orphans.end(process.family) == 1
    assert not daemon.is_running()


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from mlperf_llama_base import child
print(child.start("asked_to_die", log=Path({str(tmp_path / "log")!r})).pid, flush=True)
time.sleep(600)
"""
    module = tmp_path / "asked_to_die.py"
    module.write_text(
        "import time\nfrom mlperf_llama_base import child, orphans\n"
        "orphans.die_with_parent(child.parent())\nprint('up', flush=True)\ntime.sleep(600)\n"
    )
    env = os.environ | {"PYTHONPATH": f"{Path(child.__file__).parents[1]}:{tmp_path}"}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env)
    assert parent.stdout is not None
    process = psutil.Process(int(parent.stdout.readline()))
    until(lambda: "up" in (tmp_path / "log").read_text())
    process.suspend()  # even while it is stopped
    parent.kill()
    parent.wait()
    gone, _ = psutil.wait_procs([process], timeout=10)
    assert gone


def test_what_a_run_left_that_was_killed_as_a_whole_is_ended_by_the_next(tmp_path: Path) -> None:
    """Its daemon carries the mark of a starter that is gone; a living run's, and a stranger's, are left alone."""
    (tmp_path / "leaves_a_daemon.py").write_text(LEAVES)
    code = f"""
import time
from pathlib import Path
from mlperf_llama_base import child
print(child.start("leaves_a_daemon", log=Path({str(tmp_path / "log")!r})).pid, flush=True)
time.sleep(600)
"""
    env = os.environ | {"PYTHONPATH": f"{Path(child.__file__).parents[1]}:{tmp_path}"}
    starter = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=env)
    assert starter.stdout is not None
    process = psutil.Process(int(starter.stdout.readline()))
    until(lambda: process.children())
    (daemon,) = process.children()
    orphans.end_abandoned()
    assert daemon.is_running() and process.is_running()  # its starter lives
    starter.kill()
    starter.communicate()
    process.kill()
    orphans.end_abandoned()
    until(lambda: not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE)
