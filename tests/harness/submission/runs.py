"""Run directories for tests: LoadGen's real logs of a system that answers at once, told as if they had lasted 650 s.

A real run of the benchmark lasts 600 s. These runs are real in everything but their duration: afterwards the figures
of time are multiplied, consistently in both logs, so that they are those of a slow system. Nothing outside the tests
does that.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from harness import config
from harness.config import Benchmark, Mode, RunConfig, Scenario
from harness.loadgen.keys import FAMILIES, PERCENTILES
from harness.loadgen.log import ACCURACY, DETAIL, PREFIX, SUMMARY, DetailLog, parse_detail
from harness.loadgen.summary import PAIRS, in_words
from harness.loadgen.test06 import write_audit_config
from harness.rundir.scores import METRICS, Accuracy
from harness.session.journal import digests
from harness.verdict.result import write_result
from mlperf_llama_base.files import sha256_of
from tests.harness.loadgen.real_runs import run_loadgen

DURATION_S = 650.0
FIRST_RUN, MADE = datetime(2026, 1, 5, 10, 0, tzinfo=UTC), itertools.count()
FAST_QPS = 20_000.0
LIMITED = (Scenario.SERVER, Scenario.INTERACTIVE)
Values = dict[str, Any]


def edit_log(path: Path, changes: Values, *, drop: frozenset[str] = frozenset(), last_ms: float | None = None) -> None:
    """Change values of a detail log; a key that is not there is added before the last line. ``last_ms``: when the last
    line is said to be written.
    """
    lines, left = [], dict(changes)
    for line in path.read_text().splitlines():
        entry = json.loads(line.removeprefix(PREFIX))
        if entry["key"] in drop:
            continue
        if entry["key"] in left and not entry["metadata"]["is_error"]:
            entry["value"] = left.pop(entry["key"])
        lines.append(PREFIX + json.dumps(entry))
    if last_ms is not None:
        lines[-1] = PREFIX + json.dumps(json.loads(lines[-1].removeprefix(PREFIX)) | {"time_ms": last_ms})
    for key, value in left.items():
        extra = json.loads(lines[-1].removeprefix(PREFIX)) | {"key": key, "value": value}
        lines.insert(-1, PREFIX + json.dumps(extra))
    path.write_text("\n".join(lines) + "\n")
    sign(path.parent)


def read_values(path: Path) -> Values:
    """The values of a detail log by key."""
    entries = (json.loads(line.removeprefix(PREFIX)) for line in path.read_text().splitlines())
    return {entry["key"]: entry["value"] for entry in entries}


def add_message(path: Path, text: str, *, error: bool) -> None:
    """Add an error or a warning to a detail log, as LoadGen words it, and count it."""
    lines = path.read_text().splitlines()
    entry = json.loads(lines[-1].removeprefix(PREFIX))
    if error and entry["key"] == "num_errors":
        lines[-1] = PREFIX + json.dumps(entry | {"value": entry["value"] + 1})
    kind = "error" if error else "warning"
    entry |= {"key": f"{kind}_generic_message", "value": text}
    entry["metadata"] = entry["metadata"] | {"is_error": error, "is_warning": not error}
    lines.insert(-1, PREFIX + json.dumps(entry))
    path.write_text("\n".join(lines) + "\n")
    sign(path.parent)


def agree(run: Path) -> None:
    """Make the summary say what the detail log says."""
    values, path = read_values(run / DETAIL), run / SUMMARY
    keys = dict(PAIRS)
    lines = []
    for line in path.read_text().splitlines():
        label, colon, _ = line.partition(":")
        key = keys.get(label.strip())
        lines.append(f"{label}: {in_words(values[key])}" if colon and key in values else line)
    path.write_text("\n".join(lines) + "\n")
    sign(run)


def sign(run: Path) -> None:
    """Let session.json tell that the test itself left the logs that are there now: what is edited here is told as if
    LoadGen had written it. Nothing in a tree, which has no session.json.
    """
    path = run / "session.json"
    if path.is_file():
        path.write_text(json.dumps(json.loads(path.read_text()) | {"log_sha256": digests(run)}))


def slow_down(run: Path, scenario: Scenario, conf: str) -> None:
    """Multiply the times of a performance run so that it lasted ``DURATION_S``; settings become those of ``conf``."""
    values = read_values(run / DETAIL)
    changes = _slow_server(values) if scenario in LIMITED else _slow_system(values, scenario)
    changes |= {"requested_min_duration_ms": 600_000, "effective_min_duration_ms": 600_000}
    changes["effective_target_duration_ms"] = 0 if scenario is Scenario.OFFLINE else 600_000
    number = float(conf.split("=")[1])
    if scenario is Scenario.SINGLESTREAM:
        changes["requested_single_stream_expected_latency_ns"] = number * 1e6
    else:
        name = "offline_expected" if scenario is Scenario.OFFLINE else "server_target"
        changes |= {f"requested_{name}_qps": number, "effective_target_qps": number}
    if scenario is Scenario.OFFLINE:
        changes["generated_query_duration"] = int(1e9 / number)
    changes |= {"result_validity": "VALID", "result_min_duration_met": True}
    edit_log(run / DETAIL, changes)
    agree(run)


def _slow_system(values: Values, scenario: Scenario) -> Values:
    """Every latency that many times as long."""
    count = values["result_query_count"] * values["generated_samples_per_query"]
    rate = values["result_samples_per_second" if scenario is Scenario.OFFLINE else "result_qps_with_loadgen_overhead"]
    factor = rate * DURATION_S / count
    changes: Values = {}
    for key, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if re.search(r"per_sec|_qps_with|token_throughput", key):
            changes[key] = value / factor
        elif re.match(r"result_.*(_ns|output_token_(min|max|mean))$|early_stopping_latency_", key):
            changes[key] = int(value * factor)
    return changes


def _slow_server(values: Values) -> Values:
    """Queries that many times as rare, each answered as quickly as it was."""
    count, rates = values["result_query_count"], ("scheduled", "completed")
    due, done = ((count - 1) / values[f"result_{name}_samples_per_sec"] for name in rates)
    longer = DURATION_S - due
    tokens = values["result_completed_tokens_per_second"] * done
    issued = tokens / values["result_token_throughput_with_loadgen_overhead"]
    return {
        "result_scheduled_samples_per_sec": (count - 1) / DURATION_S,
        "result_completed_samples_per_sec": (count - 1) / (done + longer),
        "result_completed_tokens_per_second": tokens / (done + longer),
        "result_token_throughput_with_loadgen_overhead": tokens / (issued + longer),
        "generated_query_duration": values["generated_query_duration"] + int(longer * 1e9),
    }


def set_time(run: Path, began: datetime) -> None:
    """Tell both logs' dates as those of a test that began at ``began`` and took what its figures say."""
    log = parse_detail(run / DETAIL)
    begin, end = log.window or (began, began)
    took = (end - begin).total_seconds()
    if (last := log.duration_s) is not None and last > took:
        took = (
            last if log.text("effective_scenario") == "Offline" else last + log.values["result_mean_latency_ns"] / 1e9
        )
    if completed := log.number("result_completed_samples_per_sec"):
        took = max((log.values["result_query_count"] - 1) / completed, took)
    stamps = [f"{at:%m-%d-%Y %T}.{at.microsecond // 1000:03}" for at in (began, began + timedelta(seconds=took))]
    edit_log(
        run / DETAIL,
        {"test_datetime": f"{began:%FT%TZ}", "power_begin": stamps[0], "power_end": stamps[1]},
        last_ms=1e3 * took + 100.0,
    )


def make_run(directory: Path, scenario: Scenario, mode: Mode, benchmark: Benchmark) -> Path:
    """Make one complete run directory, ``result.json`` included."""
    run_config = config.build(
        {"scenario": scenario, "mode": mode, "benchmark": benchmark, "output": str(directory)},
        {"engine": {"name": "null"}},
    )
    directory.mkdir(parents=True)
    run_config.save(directory / "config.yaml")
    # Offline asked for a little less: for 650 s LoadGen would issue the data set twice, with its slack of 10 %
    rate = benchmark.sample_count / (DURATION_S + (15 if scenario is Scenario.OFFLINE else 0))
    conf = (
        "*.SingleStream.target_latency = 250\n"
        if scenario is Scenario.SINGLESTREAM
        else (f"*.{scenario.loadgen_name}.target_qps = {rate:.4g}\n")
    )
    fast = directory / "fast.conf"
    fast.write_text(
        f"*.Offline.target_qps = 1\n*.Server.target_qps = {FAST_QPS}\n*.SingleStream.target_latency = 250\n"
    )
    audit = write_audit_config(directory) if mode is Mode.COMPLIANCE else ""
    for _ in range(5):  # a machine with other work may miss Interactive's limits
        run_loadgen(
            directory,
            scenario=scenario.loadgen_name,
            mode="AccuracyOnly" if mode is Mode.ACCURACY else "PerformanceOnly",
            model=run_config.model_name,
            count=benchmark.sample_count,
            attributes={"min_duration_ms": 0},
            audit=str(audit),
            user_conf=str(fast),
        )
        if parse_detail(directory / DETAIL).flag("result_perf_constraints_met") is not False:
            break
    fast.unlink()
    (directory / "user.conf").write_text(conf)
    if mode is Mode.PERFORMANCE:
        slow_down(directory, scenario, conf)
    if mode is Mode.ACCURACY:
        write_scores(directory, benchmark)
    began = FIRST_RUN + timedelta(minutes=15 * next(MADE))
    set_time(directory, began)
    write_events(directory)
    write_session(directory, run_config, began)
    write_preflight(directory)
    write_result(directory)
    return directory


def write_scores(run: Path, benchmark: Benchmark, **other: Any) -> None:
    """Scores a little above the targets, as a good run has them."""
    good = {
        Benchmark.DATACENTER: {"rouge1": 38.8, "rouge2": 15.92, "rougeL": 24.5, "rougeLsum": 35.8, "gen_len": 8167644},
        Benchmark.EDGE: {"rouge1": 39.1, "rouge2": 16.12, "rougeL": 24.64, "rougeLsum": 36.2, "gen_len": 3051113},
    }[benchmark]
    count = benchmark.sample_count
    scores = Accuracy(**(good | other), gen_num=count, expected=count, log_sha256=sha256_of(run / ACCURACY))
    (run / "accuracy.json").write_bytes(msgspec.json.encode(scores))
    (run / "accuracy.txt").write_text(scores.text())
    chars = np.full(count, scores.gen_len // count)
    chars[0] += scores.gen_len - int(chars.sum())
    columns = {name: np.full(count, getattr(scores, name) / 100) for name in METRICS}
    pq.write_table(pa.table({"qsl_idx": np.arange(count), **columns, "chars": chars}), run / "accuracy_samples.parquet")


def write_events(run: Path) -> None:
    """events.parquet of the test that the log tells of: a sample at each rank of its latencies."""
    log = parse_detail(run / DETAIL)
    count = log.sample_count or log.values["generated_query_count"] * log.values["generated_samples_per_query"]
    latency, ttft = (_ranked(log, *FAMILIES[name], count) for name in ("latency", "TTFT"))
    due = np.zeros(count)
    if log.text("effective_scenario") == "Server" and (last := log.duration_s):
        due = np.linspace(0, last, count)
    due += 0 if log.text("effective_scenario") != "SingleStream" else np.cumsum(latency) - latency
    columns = {
        "sample_id": np.arange(count),
        "qsl_idx": np.arange(count),
        "issue_ns": due * 1e9,
        "dispatch_ns": due * 1e9,
        "first_token_ns": (due + ttft) * 1e9,
        "complete_ns": (due + latency) * 1e9,
        "input_tokens": np.full(count, 778),
        "output_tokens": 5 + np.arange(count) % 10,
        "worker": np.zeros(count, int),
        "attempts": np.ones(count, int),
    }
    pq.write_table(pa.table({k: v.astype(np.int64) for k, v in columns.items()}), run / "events.parquet")
    if log.text("effective_scenario") != "Offline" and log.sample_count:  # the times per token are these now
        simple, percentile = FAMILIES["TPOT"]
        # at least 1 ns each: between two percentiles the made-up ranks of both times may cross
        after = (columns["complete_ns"] - columns["first_token_ns"]) / (columns["output_tokens"] - 1)
        after = np.sort(np.maximum(after, 1.0))
        stats = {simple.format(part): getattr(after, part)() for part in ("min", "mean", "max")}
        stats |= {percentile.format(p): after[int(count * float(p) / 100)] for p in PERCENTILES}
        edit_log(run / DETAIL, {key: int(value) for key, value in stats.items()})
        agree(run)


def _ranked(log: DetailLog, simple: str, percentile: str, count: int) -> Any:
    """Seconds, rising; 0 where the log has none."""
    keys = [simple.format("min"), *(percentile.format(p) for p in PERCENTILES), simple.format("max")]
    known = np.array([(log.number(key) or 0.0) / 1e9 for key in keys])
    at = np.array([0, *(int(count * float(p) / 100) for p in PERCENTILES), count])
    part = np.searchsorted(at, np.arange(count), side="right") - 1
    low, high = known[part], known[part + 1]
    mean = (log.number(simple.format("mean")) or 0.0) / 1e9
    share = (mean - low.mean()) / max(high.mean() - low.mean(), 1e-12)
    ranked = low + min(max(share, 0.0), 1.0) * (high - low)
    ranked[at[:-1]] = known[:-1]
    return ranked


def write_preflight(run: Path) -> None:
    """preflight.json of a machine that is as it should be."""
    finding = {"check": "gpu ecc", "status": "pass", "found": "ECC is on, no uncorrectable errors"}
    (run / "preflight.json").write_text(json.dumps({"status": "pass", "submittable": True, "findings": [finding]}))


def write_session(run: Path, run_config: RunConfig, began: datetime) -> None:
    """session.json as the session writes it at the end of a good run of the real model."""
    values = read_values(run / DETAIL)
    count = run_config.benchmark.sample_count
    issued = (
        values.get("result_query_count", count) * values["generated_samples_per_query"]
        if (run_config.mode is not Mode.ACCURACY)
        else count
    )
    session = {
        "schema_version": 1,
        "outcome": "completed",
        "error": None,
        "from_config_rc": 0,
        "scenario": run_config.scenario,
        "mode": run_config.mode,
        "model_name": run_config.model_name,
        "samples": {"issued": issued, "completed": issued, "lost": 0, "retried": 0, "duplicates": 0, "failed": 0},
        "violations": {},
        "workers": [{"id": 0, "node": "alpha-node-7", "gpu": None, "samples": issued, "tokens": 9 * issued}],
        "restarts": 0,
        "lost_workers": [],
        "engine": {
            "name": "vllm",
            "version": "0.26.0",
            "capacity": 512,
            "eos_token_ids": [128001, 128008, 128009],
            "vocab_size": 128256,
            "prefix_caching": False,
            "weight_dtype": "fp8",
            "kv_cache_dtype": "fp8",
            "facts": {
                "dtype": "bfloat16",
                "quantization": {"method": "fp8", "from_checkpoint": False, "activation_scheme": "dynamic"},
                "attention_backend": "FLASH_ATTN",
            },
            "not_submittable": [],
        },
        "engine_live_facts": {},
        "dataset": {
            "path": "/home/erika/data/cnn_eval.json",
            "sha256": "d" * 64,
            "count": count,
            "is_official_count": True,
            "label": "CNN/DailyMail",
        },
        "model": {
            "path": "/home/erika/models/Llama-3.1-8B-Instruct",
            "revision": "0e9e39f249a16976918f6564b8830bc894c89659",
            "digest": "e" * 64,
            "is_llama_3_1_8b": True,
            "reasons": [],
        },
        "tokens": {"input_mean": 778.0, "output_mean": 9.0},
        "smoke": [],
        "test_started": began.isoformat(),
        "test_ended": (began + timedelta(seconds=660)).isoformat(),
        "wall_s": 660.0,
    }
    (run / "session.json").write_text(json.dumps(session))
    sign(run)


def make_campaign(directory: Path, benchmark: Benchmark) -> Path:
    """Every run of a campaign under ``directory/<scenario>/<mode>``."""
    scenarios = {
        Benchmark.DATACENTER: (Scenario.OFFLINE, Scenario.SERVER, Scenario.INTERACTIVE),
        Benchmark.EDGE: (Scenario.SINGLESTREAM, Scenario.OFFLINE),
    }[benchmark]
    for scenario in scenarios:
        for mode in (Mode.ACCURACY, Mode.COMPLIANCE, Mode.PERFORMANCE):
            make_run(directory / scenario / mode, scenario, mode, benchmark)
    return directory


def copy(source: Path, target: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(source, target)
    return target
