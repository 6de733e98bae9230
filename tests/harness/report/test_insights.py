"""What limited the run is said only where the figures show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness.config import Scenario
from harness.monitor.store import MetricsWriter
from harness.report.insights import insights
from harness.report.load import load
from tests.harness.fake_run import STARTED, write_run


def said(run_dir: Path) -> str:
    return "\n".join(text for text, _ in insights(load(run_dir)))


def rewrite(run_dir: Path, **columns: Any) -> None:
    path = run_dir / "events.parquet"
    table = pq.read_table(path)
    for name, value in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(value))
    pq.write_table(table, path)


def test_which_latency_binds(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", result={"ttft_ms": {"p99": 500.0}, "tpot_ms": {"p99": 97.0}})
    assert "TPOT binds: its p99 is 97.0 ms, 97 % of the limit of 100 ms" in said(run_dir)


def test_over_a_limit(tmp_path: Path) -> None:
    text = said(write_run(tmp_path / "run", result={"ttft_ms": {"p99": 2100.0}, "tpot_ms": {"p99": 20.0}}))
    assert "TTFT p99 is 2,100.0 ms, over its limit of 2,000 ms" in text
    assert "binds" not in text and "offered rate" not in text


def test_a_queue_that_grows(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", samples=2000)
    assert "queue grew" not in said(run_dir)
    issue = pq.read_table(run_dir / "events.parquet")["issue_ns"].to_numpy()
    rewrite(run_dir, complete_ns=issue + 3_000_000_000 + (1.5 * issue).astype(np.int64))
    assert "The queue grew until the end" in said(run_dir)


def test_first_tokens_that_waited_in_the_dispatcher(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", samples=2000)
    assert "dispatcher" not in said(run_dir)
    first = pq.read_table(run_dir / "events.parquet")["first_token_ns"].to_numpy()
    rewrite(run_dir, dispatch_ns=first - 1_000_000)
    assert "in the dispatcher, before any worker had them" in said(run_dir)


def test_imbalance(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", samples=2000, workers=2)
    assert "fewer tokens" not in said(run_dir)
    rewrite(run_dir, worker=(np.arange(2000) % 5 == 0).astype(np.int16))
    assert "% fewer tokens than worker 0" in said(run_dir)


def test_an_offline_drain(tmp_path: Path) -> None:
    text = said(write_run(tmp_path / "run", scenario=Scenario.OFFLINE, samples=2000, rate=100))
    assert "The drain took the last" in text


def live(decode: float, small: float, large: float) -> dict[str, Any]:
    """Steps as an H100 took them, with CUDA graphs of up to 512 tokens and with larger ones."""
    return {
        "engine_live_facts": {
            "0": {
                "steps": {
                    "<=2048": {"count": 600, "mean_ms": large, "mean_tokens": 1399.0, "mean_requests": 179.0},
                    "<=1024": {"count": 25, "mean_ms": small, "mean_tokens": 743.0, "mean_requests": 95.0},
                    "decode": {"count": 160, "mean_ms": decode, "mean_tokens": 110.0, "mean_requests": 110.0},
                }
            }
        }
    }


def test_steps_whose_launches_take_the_time(tmp_path: Path) -> None:
    text = said(write_run(tmp_path / "slow", result=live(8.0, 32.7, 36.5)))
    assert "Steps of 743 tokens took 32.7 ms, nearly as long as those of 1,399 (36.5 ms)" in text
    assert "CUDA graph" not in said(write_run(tmp_path / "fast", result=live(7.4, 16.8, 24.5)))
    assert "CUDA graph" not in said(write_run(tmp_path / "unknown"))


def test_gpus_that_throttled_or_idled_during_the_test_only(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", samples=2000)
    assert "gpu" not in said(run_dir)
    writer = MetricsWriter(run_dir, stem="metrics-2")
    for second in range(-20, 40):
        throttled = 4.0 if second < 0 or second % 10 == 0 else 0.0
        writer.add(
            {
                "node": "far",
                "t_s": STARTED + second,
                "metrics": {"gpu0": {"throttle_reasons": throttled, "utilisation_pct": 99.0 if second < 0 else 50.0}},
            }
        )
    writer.close()
    text = said(run_dir)
    assert "far gpu0: software power cap for 10 % of the test" in text
    assert "far gpu0 was used 50 % of the test" in text


def test_faults(tmp_path: Path) -> None:
    text = said(
        write_run(
            tmp_path / "run",
            session={"lost_workers": [{"worker": 1, "reason": "killed by signal 9", "time_s": 12.0}]},
            result={"samples": {"retried": 17, "lost": 0}},
        )
    )
    assert "Worker 1 was lost at 12 s: killed by signal 9." in text
    assert "17 samples were given to another worker" in text
    assert "were lost." not in text
