"""The tuner on an engine that tells its steps: real processes, real LoadGen, runs of full length played."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from harness.report import build_document, markdown
from qsl.synthetic import synthesize
from tests.harness.tune.test_tune import children_of, command

pytestmark = [pytest.mark.timeout(600)]


def test_an_engine_that_tells_its_steps_is_played(tmp_path: Path) -> None:
    """Its three numbers are found, probes correct them, and the report draws what long runs would do."""
    out, dataset = tmp_path / "t", tmp_path / "w.parquet"
    synthesize(dataset, count=64, shape="lognormal", seed=0)
    engine = "{step_ms: 40, sequence_us: 500, prefill_us: 10, output_tokens: 8, max_num_seqs: 4, step_log: true}"
    more = ("--set", f"engine.args={engine}", "--probe-seconds", "4", "--max-probes", "2", "--no-confirm")
    asked = command(out, dataset, "--scenario", "server", *more)
    done = subprocess.run(asked, capture_output=True, text=True, timeout=550, check=False)
    found = json.loads((out / "tune.json").read_text())
    assert done.returncode == 0, done.stderr
    model = found["model"]
    assert model["a_ms"] == pytest.approx(40, rel=0.2)
    assert model["p_us"] == pytest.approx(10, rel=0.5)
    assert len(found["probes"]) == 2
    assert [c["source"] for c in model["corrections"]] == ["probe 1", "probe 2"]
    assert model["pace"] == pytest.approx(1.0, abs=0.05)
    assert found["bracket"]["low"] <= found["knee_qps"] <= found["bracket"]["high"]
    assert found["knee_qps"] < found["capacity"]["samples_per_second"] * 1.05
    assert len(model["curve"]) == 8
    text = markdown.render(build_document([out]))
    assert "Pace of the steps by real queries" in text
    assert "For user.conf" in text
    assert children_of(out) == []
