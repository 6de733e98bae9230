"""What is reported reaches the real LoadGen, every token of it; LoadGen runs in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TEST = '''
import sys
import mlperf_loadgen as lg
import numpy as np
from sut.completions import report, report_rows
from sut.front.rows import NO_ROWS, Rows

def answer(samples):
    """Tokens that tell the sample: its index, so many times as the index and two more."""
    ids = [(s.id, np.full(s.index + 2, s.index, dtype=np.int32).tobytes()) for s in samples]
    report([(i, t[:4]) for i, t in ids], [])
    report([], ids[: len(ids) // 2])
    report([], ids[len(ids) // 2 :])

def answer_rows(samples):
    """The same as arrays."""
    sizes = np.array([4 * s.index + 8 for s in samples], np.int32)
    tokens = np.zeros((len(samples), sizes.max() // 4), np.int32)
    for row, s in zip(tokens, samples):
        row[: s.index + 2] = s.index
    ids, tokens = [s.id for s in samples], tokens.view(np.uint8)
    report_rows(Rows(ids, np.full(len(ids), 4, np.int32), np.ascontiguousarray(tokens[:, :4])), NO_ROWS)
    half = len(ids) // 2
    for part in (slice(half), slice(half, None)):
        report_rows(NO_ROWS, Rows(ids[part], sizes[part], tokens[part]))

settings = lg.TestSettings()
settings.scenario = getattr(lg.TestScenario, sys.argv[1])
settings.mode = getattr(lg.TestMode, sys.argv[2])
settings.use_token_latencies = True
settings.server_target_qps = 200
settings.ttft_latency, settings.tpot_latency = 10**10, 10**10
settings.offline_expected_qps = 100
settings.min_query_count = 40
settings.min_duration_ms = 1
output = lg.LogOutputSettings()
output.outdir = sys.argv[3]
logs = lg.LogSettings()
logs.log_output = output
qsl = lg.ConstructQSL(40, 40, lambda _: None, lambda _: None)
sut = lg.ConstructSUT(globals()[sys.argv[4]], lambda: None)
lg.StartTestWithLogSettings(sut, qsl, settings, logs, "")
print("done")
'''


@pytest.mark.parametrize("how", ["answer", "answer_rows"])
@pytest.mark.parametrize("scenario", ["Offline", "Server"])
def test_every_token_is_in_loadgens_log(tmp_path: Path, scenario: str, how: str) -> None:
    assert run(scenario, "AccuracyOnly", tmp_path, how) == "done"
    rows = json.loads((tmp_path / "mlperf_log_accuracy.json").read_text())
    assert sorted(row["qsl_idx"] for row in rows) == list(range(40))
    for row in rows:
        assert bytes.fromhex(row["data"]) == row["qsl_idx"].to_bytes(4, "little") * (row["qsl_idx"] + 2)
        assert row["token_count"] == row["qsl_idx"] + 2


@pytest.mark.parametrize("how", ["answer", "answer_rows"])
def test_first_tokens_and_completions_of_a_sample_are_put_together(tmp_path: Path, how: str) -> None:
    """LoadGen orders its log within a thread only: were they from two, it would complain of lost latencies."""
    assert run("Server", "PerformanceOnly", tmp_path, how) == "done"
    detail = (tmp_path / "mlperf_log_detail.txt").read_text()
    errors = [line for line in detail.splitlines() if '"is_error": true' in line]
    assert not errors
    assert '"result_token_throughput"' in detail or '"result_time_per_output_token_mean"' in detail


def test_responses_that_are_used_again_say_what_they_are_told() -> None:
    """Answers get longer, shorter, and of one length; no response may keep what the one before it said."""
    script = """
import ctypes, sys
import numpy as np
from sut.completions import AT_ONCE, Responses
responses, chance = Responses(), np.random.default_rng(0)
for count, low, high in ((3, 4, 5), (40, 1, 9), (AT_ONCE, 8, 9), (7, 8, 9), (20, 1, 30), (1, 2, 3)):
    samples = [(2**63 + i, chance.integers(0, 2**31, n).astype("<i4").tobytes())
               for i, n in enumerate(chance.integers(low, high, count))]
    told = responses.fill(samples)
    assert [(r.id, ctypes.string_at(r.data, r.size)) for r in told] == samples
    assert [r.n_tokens for r in told] == [len(tokens) // 4 for _, tokens in samples]
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=50)


def run(scenario: str, mode: str, folder: Path, how: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", TEST, scenario, mode, str(folder), how], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]
