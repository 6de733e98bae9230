"""A worker is killed while samples pass as fast as they can: none is lost, none comes twice."""

from __future__ import annotations

import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.helpers.command import command, read, started
from tests.helpers.waiting import until

pytestmark = pytest.mark.timeout(300)
BLOCK = 13_368


@pytest.mark.parametrize(("scenario", "least", "rate"), [("offline", 20 * BLOCK, 1), ("server", 3 * BLOCK, 8000)])
def test_a_worker_killed_at_full_rate_costs_no_sample(tmp_path: Path, scenario: str, least: int, rate: int) -> None:
    data = tmp_path / "data.parquet"
    assert command("data", "synthesize", "--count", str(BLOCK), "--output", data).code == 0
    run = tmp_path / "run"
    settings = {"loadgen.min_duration_ms": 1, "loadgen.min_query_count": least, "monitor.enabled": False}
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    options += ["--scenario", scenario, "--engine", "null", "--workers", "3", "--skip-preflight"]
    with started("run", "--dataset", data, "--target-qps", str(rate), "--output", run, *options) as running:
        until(lambda: (run / "status.json").exists() and read(run, "status.json")["completed"] > 0, 120)
        victim, *_ = running.family("sut.workers.main")
        victim.send_signal(signal.SIGKILL)
        done = running.wait()
    assert done.code in (0, 1), done.err  # on a slow machine the latencies may be beyond the limit
    session = read(run, "session.json")
    samples = session["samples"]
    assert samples["issued"] == samples["completed"] >= least and samples["lost"] == 0
    assert [lost["reason"] for lost in session["lost_workers"]] == ["killed by SIGKILL"]
    ids = pq.read_table(run / "events.parquet", columns=["sample_id"])["sample_id"]
    assert len(ids) == len(ids.unique()) == samples["completed"]
    assert not session["violations"]
