"""Engines that raise, hang, answer twice or not at all, seen from the command: others take over, or the run ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.command import assert_refused, command, read
from tests.helpers.rows import rows, write_rows

pytestmark = pytest.mark.timeout(300)

SAMPLES = 160


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """Two null workers that answer 160 samples in half a second, and find out soon that one hangs."""
    data = write_rows(tmp_path_factory.mktemp("data") / "data.json", rows(16))
    settings = {
        "loadgen.min_duration_ms": 0,
        "loadgen.min_query_count": SAMPLES,
        "loadgen.target_qps": 400,
        "monitor.enabled": False,
        "workers.heartbeat_s": 0.2,
        "workers.stall_timeout_s": 3,
        "engine.args.step_ms": 5,
        "engine.args.output_tokens": 16,
        "engine.args.max_num_seqs": 16,
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    return ["--engine", "null", "--skip-preflight", "--dataset", data, *sets]


@pytest.mark.parametrize("scenario", ["offline", "server"])
@pytest.mark.parametrize("fault", ["raise", "exit", "fail", "empty", "garbage", "hang", "twice"])
def test_another_worker_takes_over(tmp_path: Path, arguments: list[str | Path], fault: str, scenario: str) -> None:
    """The first worker's engine does it at its third sample, and again each time that it is started anew."""
    injected = ("--set", f"engine.args.fault={fault}@3", "--set", "engine.args.fault_worker=0", "--workers", "2")
    done = command("run", "--output", tmp_path / "run", "--scenario", scenario, *arguments, *injected)
    assert done.err == ""
    result, session = read(tmp_path / "run", "result.json"), read(tmp_path / "run", "session.json")
    samples = session["samples"]
    assert (samples["issued"], samples["completed"], samples["lost"]) == (SAMPLES, SAMPLES, 0)
    assert session["outcome"] == "completed" and result["loadgen"]["errors"] == 0
    reasons = [r for r in result["invalid_reasons"] if "early stopping" not in r]  # 160 queries are too few in Server
    assert not reasons and done.code == (0 if result["valid"] else 1)
    assert result["samples"]["retried"] == samples["retried"]
    if fault == "twice":
        assert samples["duplicates"] == 1 and samples["retried"] == 0
    else:
        assert samples["retried"] > 0
    broke = fault in ("raise", "exit", "hang")
    assert bool(session["lost_workers"]) == broke
    assert result["lost_workers"] == session["lost_workers"]
    assert not broke or {lost["worker"] for lost in session["lost_workers"]} == {0}
    assert session["violations"].get("out_of_vocabulary", 0) == (fault == "garbage")
    assert session["violations"].get("empty", 0) == (fault == "empty")


@pytest.mark.parametrize("scenario", ["offline", "server"])
def test_a_worker_ten_times_slower_gets_less(tmp_path: Path, arguments: list[str | Path], scenario: str) -> None:
    """It is no fault: nothing is taken from it, and the run is as long as it must be."""
    slow = ("--set", "engine.args.slow_worker=1", "--set", "engine.args.slow_factor=10", "--set", "dispatch.backlog=4")
    rate, seqs = (400, 4) if scenario == "offline" else (40, 16)  # Server: what the fast one could do alone
    limits = ("--set", f"loadgen.target_qps={rate}", "--set", f"engine.args.max_num_seqs={seqs}", "--workers", "2")
    done = command("run", "--output", tmp_path / "run", "--scenario", scenario, *arguments, *slow, *limits)
    assert done.err == ""
    session = read(tmp_path / "run", "session.json")
    samples = session["samples"]
    assert (samples["issued"], samples["completed"], samples["lost"]) == (SAMPLES, SAMPLES, 0)
    assert samples["retried"] == 0 and not session["lost_workers"]
    fast, slower = (worker["samples"] for worker in session["workers"])
    assert 0 < slower < fast / 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"engine.args.fault": "raise@3"}, ("no worker is left", "injected", "workers/*.log")),
        ({"engine.args.fault": "exit@3"}, ("no worker is left", "exited with status 9", "workers/*.log")),
        ({"engine.args.fault": "hang@3"}, ("no worker is left", "no progress", "workers/*.log")),
        ({"engine.args.eos_token_id": 200_000}, ("failed 4 times", "out of vocabulary", "workers/worker-0.log")),
    ],
    ids=["raises", "dies", "hangs", "answers garbage"],
)
def test_when_nobody_can_take_over_the_run_ends(
    tmp_path: Path, arguments: list[str | Path], settings: dict[str, object], words: tuple[str, ...]
) -> None:
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    options = (*sets, "--set", "workers.max_restarts=1", "--workers", "1")
    done = command("run", "--output", tmp_path / "run", *arguments, *options)
    assert_refused(done, *words, codes=(4,))
    assert "VALID" not in done.out and not (tmp_path / "run" / "result.json").exists()
    session = read(tmp_path / "run", "session.json")
    assert session["outcome"] == "failed" and session["error"] in done.err


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"engine.args.fault": "oom@0"}, ("out of memory", "lower engine.args.max_num_seqs", "workers/*.log")),
        ({"engine.args.fault": "exit@0", "engine.args.fault_worker": 1}, ("worker 1", "status 9", "workers/*.log")),
        ({"engine.args.load_s": 60, "workers.start_timeout_s": 1}, ("not ready within 1 s", "start_timeout_s")),
    ],
    ids=["out of memory", "dead at start", "too slow"],
)
def test_an_engine_that_does_not_start(
    tmp_path: Path, arguments: list[str | Path], settings: dict[str, object], words: tuple[str, ...]
) -> None:
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    done = command("run", "--output", tmp_path / "run", *arguments, *sets, "--workers", "2")
    assert_refused(done, *words, codes=(3,))
