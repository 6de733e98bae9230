"""The schedule is LoadGen's own: its queries come when we say that they are due, and never before."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
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

    def late(of: int) -> npt.NDArray[np.int64]:
        return came - np.array(arrivals_ns(rate=rate, seed=of, count=len(came)), dtype=np.int64)

    def on_time(of: int) -> int:
        """Queries within 1 ms of the one that is least late."""
        return int((late(of) - late(of).min() < 1e6).sum())

    assert (late(seed) - came[0]).min() > -5e6  # never ahead of it
    # a busy machine delays some queries, and all that are then due; with the times of another seed a handful fits
    assert on_time(seed) > len(came) / 10 > max(on_time(seed + n) for n in range(1, 100))
