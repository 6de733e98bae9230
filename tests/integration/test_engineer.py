"""A benchmark engineer's way to the campaign, with the null engine: data, pre-flight, tuner, and a plan with its rate.

The campaign itself, its tree and the checks are docs/submission.md's rehearsal: tests/docs/test_submission_order.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers.command import command, read, settings


@pytest.mark.timeout(180)
def test_the_tuner_s_rate_is_the_campaign_s(tmp_path: Path) -> None:
    data = tmp_path / "w.parquet"
    done = command("data", "synthesize", "--count", "64", "--output", data)
    assert done.code == 0, done.err
    engine = settings("engine.args={step_ms: 5, sequence_us: 20, prefill_us: 1, output_tokens: 8, max_num_seqs: 16}")
    setup = ("--engine", "null", "--dataset", str(data), *engine)
    done = command("preflight", *setup, "--scenario", "server", "--smoke")
    assert "smoke test" in done.out and done.code in (0, 3), done.out + done.err  # 3: what it thinks of this machine

    out = tmp_path / "runs" / "tune-server"
    quick = ("--probe-seconds", "0.5", "--max-probes", "3", "--confirm-seconds", "1", "--skip-preflight")
    done = command("tune", *setup, "--scenario", "server", *quick, "--output", out)
    assert done.code in (0, 1), done.err  # 1: too short to be confirmed
    assert read(out, "tune.json")["state"] == "done"
    found = re.search(r"Server\.target_qps = ([\d.]+)", (out / "user.conf").read_text())
    assert found and float(found[1]) > 0

    plan: tuple[str | Path, ...] = (
        "benchmark",
        "datacenter",
        *setup,
        "--scenarios",
        "server",
        "--output",
        tmp_path / "c",
        "--dry-run",
    )
    done = command(*plan)
    assert done.code == 2 and "target rate" in done.err, done.out + done.err
    done = command(*plan, "--user-conf-dir", tmp_path / "runs")
    assert done.code == 0 and "server/performance" in done.out, done.err
