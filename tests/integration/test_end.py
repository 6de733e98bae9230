"""How a run ends before its time: Ctrl-C, a kill, a watchdog. In the end no process is left, and nothing counts."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlperf_llama_base.files import read_json
from tests.helpers.command import Done, Started, assert_refused, read, started
from tests.helpers.rows import rows, write_rows
from tests.helpers.waiting import until

pytestmark = pytest.mark.timeout(300)

Settings = dict[str, object]
FOR_EVER: Settings = {"engine.args.step_ms": 5, "loadgen.min_duration_ms": 600_000, "loadgen.target_qps": 40}
HANGING: Settings = {"engine.args.fault": "hang@10", "engine.args.max_num_seqs": 4}  # after two waves of answers
PHASES: dict[str, tuple[Settings, str]] = {
    "loading": ({"engine.args.load_s": 300}, "starting workers"),
    "running": ({}, "running"),
    "hanging": (HANGING, "running"),
}


@contextmanager
def running(folder: Path, scenario: str, settings: Settings, phase: str) -> Iterator[Started]:
    """A run of two workers that would take ten minutes, once it is in ``phase``."""
    data = write_rows(folder / "data.json", rows(16))
    sets = [part for key, value in (FOR_EVER | settings).items() for part in ("--set", f"{key}={value}")]
    arguments = ["--engine", "null", "--workers", "2", "--skip-preflight", "--dataset", str(data), *sets]
    with started("run", "--scenario", scenario, "--output", folder / "run", *arguments) as one:
        until(lambda: (read_json(folder / "run" / "status.json") or {}).get("phase") == phase, 60)
        if phase == "running":
            until(lambda: read(folder / "run", "status.json")["completed"] > 0, 60)
        until(lambda: len(one.family("sut.workers.main")) == 2, 60)
        assert len(one.family("harness.session")) == 1
        yield one


def assert_counts_for_nothing(folder: Path, done: Done) -> None:
    assert "VALID" not in done.out
    result = read_json(folder / "run" / "result.json")
    assert result is None or not (result["valid"] or result["submittable"])


@pytest.mark.parametrize("scenario", ["offline", "server"])
@pytest.mark.parametrize("phase", PHASES)
def test_ctrl_c(tmp_path: Path, phase: str, scenario: str) -> None:
    settings, name = PHASES[phase]
    with running(tmp_path, scenario, settings, name) as one:
        began = time.monotonic()
        one.process.send_signal(signal.SIGINT)
        done = one.wait()
        assert time.monotonic() - began < 15  # 5 s on a machine that does nothing else
        assert one.family() == []
    assert_refused(done, "interrupted", str(tmp_path / "run"), codes=(4,))
    assert_counts_for_nothing(tmp_path, done)
    session = read(tmp_path / "run", "session.json")
    assert session["outcome"] == "interrupted"
    if name == "running":
        assert session["samples"]["completed"] > 0
    assert read(tmp_path / "run", "status.json")["phase"] == "failed"


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_an_impatient_user(tmp_path: Path, second: signal.Signals) -> None:
    with running(tmp_path, "offline", {}, "running") as one:
        one.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        one.process.send_signal(second)
        done = one.wait()
    assert_refused(done, "interrupted", codes=(4,))
    assert_counts_for_nothing(tmp_path, done)


@pytest.mark.parametrize("after_s", [0.1, 0.2, 0.3, 0.4, 0.5, 0.7])
def test_ctrl_c_before_anything_runs(tmp_path: Path, after_s: float) -> None:
    """Whatever is being imported or checked at that moment."""
    data = write_rows(tmp_path / "data.json", rows(16))
    sets = [part for key, value in FOR_EVER.items() for part in ("--set", f"{key}={value}")]
    with started("run", "--engine", "null", "--dataset", data, "--output", tmp_path / "run", *sets) as one:
        until(lambda: one.process.poll() is not None or "harness" in str(one.family()[0].cmdline()), 60)
        time.sleep(after_s)
        one.process.send_signal(signal.SIGINT)
        done = one.wait()
    early = done.code == 1 and "Fatal Python error" in done.err  # Python's own end while it still starts itself
    assert early or done.code in (4, -signal.SIGINT), done.err  # the latter before Python has come to our code
    assert_counts_for_nothing(tmp_path, done)
    assert done.code != 4 or "interrupted" in done.err


def test_a_killed_command_leaves_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path, "server", {}, "running") as one:
        one.process.kill()
        done = one.wait()
        assert done.code == -signal.SIGKILL
        until(lambda: one.family() == [], 30)
    assert_counts_for_nothing(tmp_path, done)


def test_a_killed_session_is_told(tmp_path: Path) -> None:
    with running(tmp_path, "server", {}, "running") as one:
        one.family("harness.session")[0].kill()
        done = one.wait()
    assert_refused(done, "session was killed by SIGKILL", "session.log", codes=(4,))
    assert_counts_for_nothing(tmp_path, done)


def test_the_watchdog_ends_a_run_without_progress(tmp_path: Path) -> None:
    """The workers beat on, so that only the run's own watchdog notices."""
    hanging = HANGING | {"stall_timeout_s": 3}
    with running(tmp_path, "offline", hanging, "running") as one:
        done = one.wait()
    assert_refused(done, "no progress for", "outstanding", "stall_timeout_s", "workers/*.log", codes=(4,))
    assert_counts_for_nothing(tmp_path, done)
    session = read(tmp_path / "run", "session.json")
    assert session["outcome"] == "failed" and session["samples"]["lost"] > 0


def test_a_run_that_broke_can_be_judged(tmp_path: Path) -> None:
    """What is left of it is evidence enough to say why it does not count."""
    from tests.helpers.results import build_result

    with running(tmp_path, "server", {}, "running") as one:
        one.process.send_signal(signal.SIGINT)
        one.wait()
    result = build_result(tmp_path / "run")
    assert not result["valid"] and not result["submittable"]
    assert any("interrupted" in reason for reason in result["invalid_reasons"])
