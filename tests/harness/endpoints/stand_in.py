"""Stands in for MLCommons' client: reads its YAML, and leaves the files that it leaves, of a server with a known speed.

The file ``behave.json`` in the working directory has, by concurrency, how it misbehaves the next time: ``failed`` (one
request), ``cut`` (streams that ended early), ``exit``, ``hang``. Each start is noted in ``starts.log`` there.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import yaml

RATE = 1000.0  # requests/s, whatever the concurrency
SCORES = {"rouge1": "38.78", "rouge2": "15.91", "rougeL": "24.5", "rougeLsum": "35.79", "gen_len": "8167644"}


def summary(config: dict[str, Any], *, seconds: float, sha: str) -> dict[str, Any]:
    """result_summary.json as the client writes it, without the parts that nobody reads."""
    issued = config["settings"]["runtime"]["n_samples_to_issue"]
    concurrency = config["settings"]["load_pattern"].get("target_concurrency")
    ms = 1e6
    times = (
        {}
        if concurrency is None
        else {"ttft": 20 * ms + concurrency * ms / 10, "tpot": 5 * ms + concurrency * ms / 100}
    )
    found: dict[str, Any] = {
        "version": "0.1.0",
        "git_sha": sha,
        "test_started_at": 0,
        "n_samples_issued": issued,
        "n_samples_completed": issued,
        "n_samples_failed": 0,
        "duration_ns": int(seconds * 1e9),
        "state": "complete",
        "complete": True,
        "ttft": {},
        "tpot": {},
        "latency": {"total": 1, "percentiles": {"90.0": 1e9}},
        "output_sequence_lengths": {"total": 128 * issued, "max": 128, "percentiles": {"50.0": 128.0}},
        "finish_reason_counts": {"stop": 0, "length": issued, "tool_calls": 0, "other": 0},
    }
    for name, value in times.items():
        found[name] = {"total": value * issued, "percentiles": {"99.0": 2 * value, "90.0": value, "50.0": value / 2}}
    return found


def scores(rows: int) -> dict[str, Any]:
    """accuracy_results.json. A rehearsal makes one pass, so that its requests are the rows."""
    entry = {
        "dataset_name": "cnn_dailymail::llama3_8b",
        "score": SCORES | {"gen_num": rows},
        "unit_samples": rows,
        "num_repeats": 1,
        "total_samples": rows,
        "complete": True,
        "dataset_type": "accuracy",
        "response_counts": {"issued": rows, "scored": rows, "empty": 0, "missing": 0},
    }
    return {"osl_tokenization_s": 0.1, "accuracy_scores": [entry]}


def benchmark(arguments: list[str]) -> None:
    given = dict(zip(arguments[::2], arguments[1::2], strict=True))
    config = yaml.safe_load(Path(given["-c"]).read_text())
    report = Path(given["--report-dir"])
    concurrency = config["settings"]["load_pattern"].get("target_concurrency") or 0
    with Path("starts.log").open("a") as log:
        log.write(f"{concurrency} {given['--mode']} {config['settings']['runtime']['n_samples_to_issue']}\n")
    behave = Path("behave.json")
    plan = json.loads(behave.read_text()) if behave.is_file() else {}
    probed = "/probe/" in given["-c"]
    how = "" if probed else plan.pop(str(concurrency), "")
    behave.write_text(json.dumps(plan))
    if how == "hang":
        time.sleep(600)
    if how == "exit":
        raise SystemExit("the stand-in was told to fail")
    issued = config["settings"]["runtime"]["n_samples_to_issue"]
    found = summary(config, seconds=issued / RATE, sha="0000000")
    if how == "failed":
        found["n_samples_failed"] = 1
    if how == "cut":
        found["finish_reason_counts"]["length"] -= 3
    (report / "performance").mkdir(parents=True)
    (report / "performance" / "result_summary.json").write_text(json.dumps(found))
    if given["--mode"] == "both":
        (report / "accuracy").mkdir()
        (report / "accuracy" / "accuracy_results.json").write_text(json.dumps(scores(issued)))
    (report / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


if __name__ == "__main__":
    if sys.argv[1] == "benchmark":
        benchmark(sys.argv[3:])
