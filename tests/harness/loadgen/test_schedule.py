"""The schedule is LoadGen's own: its queries come when we say that they are due, and never before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.loadgen.schedule import arrivals_ns

TEST = """
import json, sys, time
import mlperf_loadgen as lg
import numpy as np
came, keep = [], []
def answer(samples):
    came.extend([time.perf_counter_ns()] * len(samples))
    tokens = np.ones(3, np.int32)
    keep.append(tokens)
    responses = [lg.QuerySampleResponse(s.id, tokens.ctypes.data, 12, 3) for s in samples]
    lg.FirstTokenComplete(responses)
    lg.QuerySamplesComplete(responses)
settings = lg.TestSettings()
settings.scenario, settings.mode = lg.TestScenario.Server, lg.TestMode.PerformanceOnly
settings.use_token_latencies = True
settings.server_target_qps, settings.schedule_rng_seed = float(sys.argv[1]), int(sys.argv[2])
settings.ttft_latency = settings.tpot_latency = 10**10
settings.min_query_count, settings.min_duration_ms = 200, 1
logs = lg.LogSettings()
output = lg.LogOutputSettings()
output.outdir = sys.argv[3]
logs.log_output = output
qsl = lg.ConstructQSL(40, 40, lambda _: None, lambda _: None)
sut = lg.ConstructSUT(answer, lambda: None)
lg.StartTestWithLogSettings(sut, qsl, settings, logs, "")
print(json.dumps(came))
"""


@pytest.mark.parametrize(("rate", "seed"), [(200.0, 16159082839903944936), (350.0, 7)])
def test_it_is_loadgens(tmp_path: Path, rate: float, seed: int) -> None:
    command = [sys.executable, "-c", TEST, str(rate), str(seed), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    came = np.array(json.loads(done.stdout.strip().splitlines()[-1]), dtype=np.int64)
    assert len(came) >= 200
    due = np.array(arrivals_ns(rate=rate, seed=seed, count=len(came)))
    assert ((came - came[0] - due) / 1e6).min() > -5  # never ahead of it
    assert np.corrcoef(np.diff(came), np.diff(due))[0, 1] > 0.5  # of another seed's gaps it is 0
