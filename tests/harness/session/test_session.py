"""A started system with real null workers: complete, usable in turns by LoadGen and by others, and gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import config
from harness.config import RunConfig
from harness.rundir import names
from harness.session.session import Interrupted, Journal, Session, started
from mlperf_llama_base.errors import EnvironmentFault, RunError, UserError
from mlperf_llama_base.files import read_json, sha256_of
from sut.hub import Hub
from tests.helpers.rows import rows, write_rows
from tests.helpers.waiting import until


def make(folder: Path, **settings: Any) -> RunConfig:
    data = write_rows(folder / "data.json", rows(16))
    tree: dict[str, Any] = {
        "scenario": "server",
        "output": str(folder / "run"),
        "engine": {"name": "null", "args": settings.pop("args", {})},
        "dataset": {"path": str(data)},
        "workers": {"count": 2, "heartbeat_s": 0.2, "warm_up_prompts": 1} | settings.pop("workers", {}),
        "loadgen": {"target_qps": 200, "min_duration_ms": 1, "min_query_count": 32},
    }
    (folder / "run").mkdir(exist_ok=True)
    return config.build(tree | settings)


@contextmanager
def session(run_config: RunConfig, interrupt: threading.Event | None = None) -> Iterator[Session]:
    journal = Journal(run_config, Path(run_config.output))
    with started(run_config, journal, interrupt=interrupt or threading.Event()) as one:
        yield one


def workers() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "sut.workers.main" in process.cmdline():
                found.append(process)
        except psutil.Error:  # it has ended already
            continue
    return found


@pytest.mark.parametrize("processes", [1, 2])
def test_a_system_comes_up_and_goes_away_whole(tmp_path: Path, processes: int) -> None:
    with session(make(tmp_path, dispatch={"processes": processes})) as s:
        s.wait_until_ready()
        assert len(workers()) == len(s.hub.workers) == 2
        s.hold()
        status = read_json(tmp_path / "run" / names.STATUS)
        assert status["phase"] == "ready" and [w["state"] for w in status["workers"]] == ["ready", "ready"]
        assert s.system.idle and len(s.lengths) == 16
    assert workers() == [] and not s.hub.is_alive()


def test_a_system_without_first_tokens_takes_no_test_that_measures_them(tmp_path: Path) -> None:
    asked = make(tmp_path)
    with session(asked.model_copy(update={"scenario": config.Scenario.OFFLINE})) as s:
        s.wait_until_ready()
        with pytest.raises(RunError, match="needs first tokens"):
            s.test(asked, tmp_path / "test")
        assert not (tmp_path / "test").exists()


@pytest.mark.parametrize("processes", [1, 2])
def test_what_is_lent_answers_its_caller_and_is_given_back(tmp_path: Path, processes: int) -> None:
    done: list[int] = []
    with session(make(tmp_path, dispatch={"processes": processes})) as s:
        s.wait_until_ready()
        with s.lent(lambda _, completed: done.extend(i for i, _ in completed)) as system:
            record = system.start_record()
            s.hub.issue([(i, i % 16) for i in range(50)])
            until(lambda: len(done) == 50)
            system.pause(0.01)
            assert system.completed == len(record) == 50 and system.without_first_token() == []
            second = system.start_record()
            s.hub.issue([(99, 0)])
            until(lambda: len(done) == 51)
            assert (len(record), second.column("sample_id").tolist()) == (50, [99])
        assert s.hub.counts.completed == 0  # a test that follows counts from zero


@pytest.mark.parametrize("at", ["starting", "ready"])
def test_an_interruption_is_heard_while_it_waits(tmp_path: Path, at: str) -> None:
    interrupt = threading.Event()
    args = {"load_s": 300} if at == "starting" else {}
    with session(make(tmp_path, args=args), interrupt) as s:
        if at == "ready":
            s.wait_until_ready()
        interrupt.set()
        with pytest.raises(Interrupted):
            s.wait_until_ready() if at == "starting" else s.hold()
    assert workers() == []


def test_a_broken_system_is_found_out_by_whoever_waits(tmp_path: Path) -> None:
    with session(make(tmp_path, workers={"count": 1, "max_restarts": 0})) as s:
        s.wait_until_ready()
        os.kill(s.hub.workers[0].pid, signal.SIGKILL)
        with pytest.raises(RunError, match="no worker is left: killed by SIGKILL"):
            while True:
                s.pause(0.05)


def test_a_worker_without_a_place_is_not_waited_for_as_long_as_one_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its node died before the test, and no other has room for it."""
    monkeypatch.setattr(Hub, "dead", property(lambda hub: 1))  # as where no node had room for it in time
    with session(make(tmp_path, args={"load_s": 300})) as s:
        for view in s.hub.workers.values():
            view.fault = "its node is dead"
        with pytest.raises(EnvironmentFault, match=r"could not be started: worker 0.*its node is dead"):
            s.wait_until_ready()


def test_engines_that_do_not_start_are_the_environments_fault(tmp_path: Path) -> None:
    run_config = make(tmp_path, args={"fault": "oom@0"})
    journal = Journal(run_config, tmp_path / "run")
    with started(run_config, journal, interrupt=threading.Event()) as s:
        with pytest.raises(EnvironmentFault, match="out of memory") as caught:
            s.wait_until_ready()
        journal.save(tmp_path / "run", caught.value)
    record = read_json(tmp_path / "run" / names.SESSION)
    assert (record["outcome"], record["restarts"]) == ("failed", 0)
    assert "out of memory" in record["error"]
    assert [w["restarts"] for w in record["workers"]] == [0, 0]


def test_data_that_cannot_be_read_start_nothing(tmp_path: Path) -> None:
    run_config = make(tmp_path)
    (tmp_path / "data.json").write_text("[]")
    with pytest.raises((UserError, EnvironmentFault)), session(run_config):
        pytest.fail("a system without data")
    assert workers() == []


def test_a_worker_that_joins_later_is_not_waited_for(tmp_path: Path) -> None:
    run_config = make(tmp_path, args={"fault": "exit@0", "fault_worker": 1}, cluster={"min_workers": 1})
    with session(run_config) as s:
        s.wait_until_ready()
        assert s.hub.ready >= 1


TWO_TESTS = """
import os, sys, threading
from pathlib import Path
import yaml
from harness import config
from harness.session.session import Journal, started
run_config = config.build(yaml.safe_load(Path(sys.argv[1]).read_text()))
folder = Path(run_config.output)
with started(run_config, Journal(run_config, folder), interrupt=threading.Event()) as session:
    session.wait_until_ready()
    for name in ("first", "second"):
        with session.lent(lambda *_: None):
            pass
        session.test(run_config, folder / name)
        session.journal.save(folder / name)
print("done", flush=True)
os._exit(0)
"""


def test_two_tests_on_one_system_count_for_themselves(tmp_path: Path) -> None:
    """In a process of its own: LoadGen keeps state for each process."""
    run_config = make(tmp_path)
    run_config.save(tmp_path / "config.yaml")
    command = [sys.executable, "-c", TWO_TESTS, str(tmp_path / "config.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=55)
    assert done.stdout.strip().endswith("done"), done.stderr
    for name in ("first", "second"):
        record = read_json(tmp_path / "run" / name / names.SESSION)
        samples = record["samples"]
        assert record["outcome"] == "completed"
        assert samples["issued"] == samples["completed"] == sum(w["samples"] for w in record["workers"])
        assert (tmp_path / "run" / name / "mlperf_log_summary.txt").is_file()
        assert (tmp_path / "run" / name / names.EVENTS).is_file()
        left = {child: sha256_of(tmp_path / "run" / name / child) for child in names.SIGNED}
        assert record["log_sha256"] == left


def test_no_memory_for_the_events_leaves_the_record_and_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_left(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("harness.session.outcome.write_events", nothing_left)
    with session(make(tmp_path)) as s:
        s.wait_until_ready()
        with s.lent(lambda *_: None):
            s.hub.issue([(1, 0)])
            until(lambda: s.hub.counts.completed == 1)
            s.journal.save(tmp_path / "run")
    saved = read_json(tmp_path / "run" / names.SESSION)
    assert saved["notes"] == ["events.parquet could not be written (no memory is left)"]
    assert saved["samples"]["completed"] == 1 and not (tmp_path / "run" / names.EVENTS).exists()
