"""Writes run directories with the files and figures that a real run leaves, without running one.

Server arrives by Poisson and has first tokens; Offline is handed out as workers get free. The figures in result.json
are worked out from the same events, as LoadGen would from its own.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from harness.config import RunConfig, Scenario
from harness.monitor.gpu import Facts
from harness.monitor.store import MetricsWriter
from harness.rounds import ROUND

STARTED = 1_750_000_000.0
Arrays = dict[str, npt.NDArray[Any]]


def events(
    *, scenario: Scenario, samples: int, rate: float, workers: int, slower: float = 1.0, seed: int = 1
) -> Arrays:
    """Columns of events.parquet. ``slower`` stretches every latency (and, in Offline, the run)."""
    rng = np.random.default_rng(seed)
    output = np.where(rng.random(samples) < 0.97, 128, rng.integers(20, 128, samples)).astype(np.int32)
    base = np.arange(samples) / rate
    if scenario is Scenario.OFFLINE:
        issue = np.zeros(samples)
        complete = (base + 8.0 + rng.exponential(0.5, samples)) * slower
        dispatch = np.maximum(complete - 8.0 * slower, 0.0)
        first = np.full(samples, np.nan)
    else:
        issue = np.cumsum(rng.exponential(1 / rate, samples))
        issue -= issue[0]
        drift = 1 + 0.3 * np.sin(issue / issue[-1] * 9)
        dispatch = issue + 0.0005
        first = dispatch + rng.lognormal(-1.2, 0.55, samples) * drift * slower
        complete = first + (output - 1) * (0.022 + rng.normal(0, 0.0012, samples)) * slower
    nanoseconds = {
        name: (value * 1e9)
        for name, value in (("issue_ns", issue), ("dispatch_ns", dispatch), ("complete_ns", complete))
    }
    return {
        "sample_id": np.arange(samples, dtype=np.uint64),
        "qsl_idx": rng.integers(0, 13368, samples, dtype=np.int32),
        **{name: value.astype(np.int64) for name, value in nanoseconds.items()},
        "first_token_ns": first * 1e9,
        "input_tokens": np.clip(rng.gamma(4, 194, samples), 68, 2540).astype(np.int32),
        "output_tokens": output,
        "worker": (np.arange(samples) % workers).astype(np.int16),
        "attempts": (1 + (rng.random(samples) < 0.0002)).astype(np.int8),
    }


def write_run(
    directory: Path,
    *,
    scenario: Scenario = Scenario.SERVER,
    samples: int = 4000,
    rate: float = 45.0,
    workers: int = 2,
    gpu: str | None = "NVIDIA H100 80GB HBM3",
    slower: float = 1.0,
    seed: int = 1,
    result: dict[str, Any] | None = None,
    session: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> Path:
    """Write a run; ``result``, ``session`` and ``config`` replace top-level keys of what is written."""
    directory.mkdir(parents=True, exist_ok=True)
    columns = events(scenario=scenario, samples=samples, rate=rate, workers=workers, slower=slower, seed=seed)
    first = columns.pop("first_token_ns")
    table = pa.table(columns).append_column(
        "first_token_ns", pa.array(np.nan_to_num(first).astype(np.int64), mask=np.isnan(first))
    )
    pq.write_table(table, directory / "events.parquet")
    seconds = float(columns["complete_ns"].max()) / 1e9
    facts = _session(columns, scenario=scenario, seconds=seconds, workers=workers, gpu=gpu, rate=rate) | (session or {})
    _write(directory / "session.json", facts)
    _write(directory / "result.json", _result(columns, first, scenario, seconds, facts) | (result or {}))
    _write(
        directory / "status.json",
        {
            "time": STARTED + seconds,
            "scenario": scenario,
            "mode": "performance",
            "phase": "finished",
            "completed": samples,
            "workers": [],
        },
    )
    tree = RunConfig(scenario=scenario).model_dump(mode="json") | (config or {})
    (directory / "config.yaml").write_text(json.dumps(tree))  # JSON is YAML
    _metrics(directory, seconds=seconds, workers=workers, gpu=gpu, seed=seed)
    return directory


def _result(
    columns: Arrays, first: npt.NDArray[Any], scenario: Scenario, seconds: float, session: dict[str, Any]
) -> dict[str, Any]:
    tokens = columns["output_tokens"]
    limits = ROUND.limits_ns.get(scenario)
    ttft = (first - columns["issue_ns"]) / 1e6
    tpot = (columns["complete_ns"] - first) / np.maximum(tokens - 1, 1) / 1e6
    over = limits is not None and any(
        np.percentile(values, 99) > limit / 1e6 for values, limit in zip((ttft, tpot), limits, strict=True)
    )
    return {
        "schema_version": 1,
        "scenario": scenario,
        "mode": "performance",
        "model_name": session["model_name"],
        "valid": not over,
        "submittable": False,
        "invalid_reasons": ["TTFT or TPOT over its limit"] if over else [],
        "not_submittable_reasons": ["a made-up run"],
        "benchmark": "datacenter",
        "samples_per_second": len(tokens) / seconds,
        "tokens_per_second": float(tokens.sum()) / seconds,
        "ttft_ms": _percentiles(ttft) if limits else None,
        "tpot_ms": _percentiles(tpot) if limits else None,
        "latency_ms": _percentiles((columns["complete_ns"] - columns["issue_ns"]) / 1e6),
        "samples": session["samples"],
        "tokens": session["tokens"],
        "workers": session["workers"],
        "accuracy": None,
        "compliance": None,
        "versions": {"loadgen": "6.0.17", "python": "3.11"},
        "rules": {"prefix_caching": False},
    }


def _percentiles(values: npt.NDArray[Any]) -> dict[str, float]:
    return {
        name: float(np.percentile(values, percent))
        for name, percent in (("p50", 50), ("p90", 90), ("p95", 95), ("p97", 97), ("p99", 99), ("p99_9", 99.9))
    }


def _session(
    columns: Arrays, *, scenario: Scenario, seconds: float, workers: int, gpu: str | None, rate: float
) -> dict[str, Any]:
    tokens, owner = columns["output_tokens"], columns["worker"]
    retried = int((columns["attempts"] > 1).sum())
    return {
        "schema_version": 1,
        "outcome": "completed",
        "error": None,
        "scenario": scenario,
        "mode": "performance",
        "model_name": "llama3_1-8b",
        "settings": {"server_target_qps": rate, "min_duration_ms": 600000},
        "samples": {
            "issued": len(tokens),
            "completed": len(tokens),
            "lost": 0,
            "retried": retried,
            "duplicates": 0,
            "failed": 0,
        },
        "violations": {},
        "violation_examples": [],
        "restarts": 0,
        "lost_workers": [],
        "workers": [
            {
                "id": i,
                "node": f"node{i // 8}",
                "gpu": gpu,
                "pid": 100 + i,
                "samples": int((owner == i).sum()),
                "tokens": int(tokens[owner == i].sum()),
                "restarts": 0,
                "load_s": 41.5,
                "warm_up_s": 3.0,
                "busy_fraction": 0.97,
            }
            for i in range(workers)
        ],
        "engine": {"name": "vllm", "version": "0.33.0", "capacity": 1024, "weight_dtype": "fp8", "not_submittable": []},
        "engine_live_facts": {},
        "dataset": {
            "path": "cnn_eval.json",
            "sha256": "0" * 64,
            "count": 13368,
            "is_official_count": True,
            "label": "CNN/DailyMail validation",
        },
        "model": {"path": "Meta-Llama-3.1-8B-Instruct", "is_llama_3_1_8b": True, "reasons": []},
        "tokens": {"output_total": int(tokens.sum()), "input_total": int(columns["input_tokens"].sum())},
        "smoke": [],
        "test_started": _iso(STARTED),
        "test_ended": _iso(STARTED + seconds),
        "wall_s": seconds,
    }


def _metrics(directory: Path, *, seconds: float, workers: int, gpu: str | None, seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes = sorted({f"node{i // 8}" for i in range(workers)})
    facts: dict[str, dict[str, Facts]] = {
        node: {f"gpu{i % 8}": {"name": gpu, "power_limit_w": 700.0} for i in range(workers) if f"node{i // 8}" == node}
        if gpu
        else {}
        for node in nodes
    }
    writer = MetricsWriter(directory, facts=facts)
    for second in np.arange(-5.0, seconds + 5, 1.0):
        for node in nodes:
            metrics: dict[str, dict[str, float]] = {
                "cpu": {"utilisation_pct": 12 + rng.random() * 5, "busiest_core_pct": 60 + rng.random() * 30},
                "mem": {"used_bytes": 6e10, "total_bytes": 5e11},
                "net": {"sent_bytes": 1e6 * (second + 5), "received_bytes": 2e6 * (second + 5)},
            }
            for source in facts[node]:
                busy = 0.0 <= second <= seconds
                metrics[source] = {
                    "utilisation_pct": 98.0 if busy else 0.0,
                    "memory_used_bytes": 7.4e10,
                    "throttle_reasons": 0.0,
                    "power_w": 640 + rng.normal(0, 10) if busy else 120.0,
                    "temperature_c": 58 + rng.random() * 5,
                    "energy_j": 1e6 + 640.0 * (second + 5),
                    "sm_clock_mhz": 1830 + rng.normal(0, 20),
                }
            writer.add({"node": node, "t_s": STARTED + float(second), "metrics": metrics})
    writer.close()


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value))


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
