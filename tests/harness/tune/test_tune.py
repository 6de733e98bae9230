"""The command from end to end: real processes, the null engine, real LoadGen. No figure of speed is asserted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import config
from harness.loadgen.early_stopping import allowed_over_limit
from harness.report.load import load
from harness.report.sections import tuning
from harness.tune.command import refuse_without_effect
from harness.tune.state import Options
from mlperf_llama_base.errors import UserError
from qsl.synthetic import synthesize

pytestmark = pytest.mark.timeout(240)

ENGINE = "{step_ms: 5, sequence_us: 20, prefill_us: 1, output_tokens: 8, max_num_seqs: 16}"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "w.parquet"
    synthesize(path, count=64, shape="lognormal", seed=0)
    return path


def command(output: Path, dataset: Path, *more: str) -> list[str]:
    return [
        sys.executable,
        "-m",
        "harness",
        "tune",
        "--output",
        str(output),
        "--engine",
        "null",
        "--dataset",
        str(dataset),
        "--set",
        f"engine.args={ENGINE}",
        "--probe-seconds",
        "0.5",
        "--max-probes",
        "4",
        "--skip-preflight",
        *more,
    ]


def tune(output: Path, dataset: Path, *more: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    done = subprocess.run(command(output, dataset, *more), capture_output=True, text=True, timeout=200, check=False)
    path = output / "tune.json"
    return done, json.loads(path.read_text()) if path.is_file() else {}


def children_of(output: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if str(output) in " ".join(process.info["cmdline"] or []) and process.pid != os.getpid():
            found.append(process)
    return found


def test_server_is_searched_and_confirmed_by_loadgen(tmp_path: Path, dataset: Path) -> None:
    out = tmp_path / "t"
    done, found = tune(out, dataset, "--scenario", "server", "--confirm-seconds", "2")
    assert done.returncode in (0, 1), done.stderr
    assert found["state"] == "done"
    assert 2 <= len(found["probes"]) <= 4
    for probe in found["probes"]:
        assert probe["allowed"] == allowed_over_limit(probe["queries"])
        assert probe["reason"]
        assert probe["ended"]
        assert probe["target_qps"] <= found["ceiling_qps"] < found["capacity"]["samples_per_second"]
    valid = [p["target_qps"] for p in found["probes"] if p["valid"]]
    assert found["best_qps"] <= max(valid)
    confirmed = found["confirmations"][-1]
    assert confirmed["full_length"] is False
    assert confirmed["directory"] == f"confirm-{len(found['confirmations'])}"
    result = json.loads((out / confirmed["directory"] / "result.json").read_text())
    assert result["valid"] is confirmed["valid"] is (done.returncode == 0)
    assert result["submittable"] is False
    # what the probes issued is none of LoadGen's business
    assert result["samples"]["issued"] == result["samples"]["completed"]
    assert f"target_qps = {found['best_qps']:g}" in (out / "user.conf").read_text()
    assert tuning.sections(load(out))
    assert children_of(out) == []


def test_a_search_goes_on_where_it_was_and_repeats_no_probe(tmp_path: Path, dataset: Path) -> None:
    out = tmp_path / "t"
    args = ("--scenario", "interactive", "--no-confirm")
    first = subprocess.Popen(command(out, dataset, *args), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 100
    while time.monotonic() < deadline and first.poll() is None:
        with_probe = (out / "tune.json").is_file() and json.loads((out / "tune.json").read_text())["probes"]
        if with_probe:
            break
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    _, errors = first.communicate(timeout=60)
    stopped = json.loads((out / "tune.json").read_text())
    assert first.returncode == 4
    assert "continues from what is in" in errors
    assert children_of(out) == []
    assert stopped["state"] == "searching"
    done, found = tune(out, dataset, *args)
    assert done.returncode == 0, done.stderr
    assert found["state"] == "done"
    assert found["capacity"] == stopped["capacity"]
    assert found["probes"][: len(stopped["probes"])] == stopped["probes"]

    other, _ = tune(out, dataset, "--scenario", "server", "--no-confirm")
    assert other.returncode == 2
    assert "scenario" in other.stderr
    assert len(other.stderr.strip().splitlines()) == 1


def test_offline_and_singlestream_have_no_limits_to_search(tmp_path: Path, dataset: Path) -> None:
    done, found = tune(tmp_path / "o", dataset, "--scenario", "offline", "--confirm-seconds", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["best_qps"] > 0
    assert found["probes"] == []
    assert found["confirmations"][0]["valid"]
    done, found = tune(tmp_path / "s", dataset, "--scenario", "singlestream", "--no-confirm")
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["target_latency_ms"] > 8 * 5  # eight steps of at least 5 ms
    assert found["user_conf"].startswith("llama3_1-8b-edge.SingleStream.target_latency = ")


def test_engine_settings_are_searched_and_a_failing_one_is_skipped(tmp_path: Path, dataset: Path) -> None:
    done, found = tune(
        tmp_path / "t",
        dataset,
        "--scenario",
        "offline",
        "--no-confirm",
        "--search",
        "max_num_seqs=2,16",
        "--search",
        "fault=oom@0,''",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["engine_settings"] == {"max_num_seqs": 16, "fault": ""}
    assert {t["state"] for t in found["trials"]} == {"done", "failed"}
    assert len(found["trials"]) == 4
    assert found["best_qps"] == pytest.approx(max(t["score"] for t in found["trials"]), rel=1e-4)
    assert all("out of memory" in t["error"] for t in found["trials"] if t["state"] == "failed")


def test_a_system_that_cannot_start_is_one_line(tmp_path: Path, dataset: Path) -> None:
    done, _ = tune(tmp_path / "t", dataset, "--scenario", "server", "--set", "engine.args.fault=oom@0")
    assert done.returncode == 3
    assert "out of memory" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert children_of(tmp_path / "t") == []


def test_a_search_over_a_name_without_effect_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would compare equal engines."""
    quiet = config.build({"engine": {"name": "null"}, "output": str(tmp_path)})
    refuse_without_effect(quiet, Options(search={"max_num_seqs": [1, 2]}))
    with pytest.raises(UserError, match="did you mean 'max_num_seqs'"):
        refuse_without_effect(quiet, Options(search={"max_num_seq": [1, 2]}))
    with pytest.raises(UserError, match=r"engine\.args\.step_ms: input should be a valid number"):
        refuse_without_effect(quiet, Options(search={"step_ms": [1, "x"]}))
    monkeypatch.setattr("sut.engines.check", lambda settings: {"old": "has no effect"} if settings.args else {})
    with pytest.raises(UserError, match="--search old: has no effect: there is nothing to compare"):
        refuse_without_effect(quiet, Options(search={"old": [1, 2]}))
