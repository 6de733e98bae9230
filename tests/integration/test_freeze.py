"""The whole session stands still for seconds, as in a paused container, while its workers and the clock go on."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from mlperf_llama_base.files import read_json
from tests.helpers.command import read, started
from tests.helpers.rows import rows, write_rows
from tests.helpers.waiting import until

AWAY_S = 4.0
SETTINGS: dict[str, object] = {
    "engine.args.step_ms": 2,
    "engine.args.output_tokens": 8,
    "loadgen.target_qps": 50,
    "loadgen.min_duration_ms": 0,
    "loadgen.min_query_count": 400,
    "workers.heartbeat_s": 0.2,
    "workers.heartbeat_timeout_s": 2,
    "monitor.enabled": False,
}


@pytest.mark.timeout(240)
def test_nobody_is_blamed_and_the_display_says_what_loadgen_measures(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "data.json", rows(16))
    sets = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    run = tmp_path / "run"
    with started(
        *("run", "--engine", "null", "--scenario", "server", "--workers", "2", "--skip-preflight"),
        *("--dataset", str(data), "--output", str(run), *sets),
    ) as one:
        until(lambda: ((read_json(run / "status.json") or {}).get("completed") or 0) > 20, 100)
        (session,) = one.family("harness.session")
        session.send_signal(signal.SIGSTOP)
        time.sleep(AWAY_S)
        session.send_signal(signal.SIGCONT)
        done = one.wait()
    assert done.err == ""
    record, result, status = (read(run, f"{name}.json") for name in ("session", "result", "status"))
    assert record["outcome"] == "completed"
    assert record["lost_workers"] == [] and record["samples"]["retried"] == record["restarts"] == 0
    measured = result["ttft_ms"]["p99"]
    assert measured > 1000 * AWAY_S / 2  # LoadGen counts from the scheduled time
    assert status["ttft_p99_ms"] == pytest.approx(measured, rel=0.05)
