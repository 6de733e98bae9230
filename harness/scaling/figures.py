"""What a run did, for each node and each GPU, from its saved files; and how sure its speed is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.rundir import names
from harness.rundir.metrics import summarize_metrics
from mlperf_llama_base import files
from mlperf_llama_base.errors import RunError

SEGMENTS = 20
T_975 = 2.093  # Student's t for 19 degrees of freedom, two-sided 95 %
EDGE = 0.1  # of the time at either end: filling and draining belong to the result, but not to its scatter


@dataclass(frozen=True)
class Rate:
    """Per second, over the whole test; ``half`` is half of the 95 % interval's width, None if there is too little."""

    value: float
    half: float | None

    @property
    def relative(self) -> float | None:
        return None if self.half is None or not self.value else self.half / self.value

    def as_dict(self) -> dict[str, float | None]:
        return {"value": self.value, "ci95": self.half}


@dataclass
class Events:
    """Columns of ``events.parquet``. Times in s since the first issue."""

    complete_s: np.ndarray[Any, Any]
    issue_s: np.ndarray[Any, Any]
    tokens: np.ndarray[Any, Any]
    inputs: np.ndarray[Any, Any]
    worker: np.ndarray[Any, Any]

    @classmethod
    def load(cls, run_dir: Path) -> Events:
        """Raises ``RunError`` if the run left none."""
        import pyarrow.parquet as pq

        path = run_dir / names.EVENTS
        if not path.is_file():
            raise RunError(f"{path} is missing: the run left no record of its samples")
        table = pq.read_table(path)
        columns = {
            name: table.column(name).to_numpy()
            for name in ("complete_ns", "issue_ns", "output_tokens", "input_tokens", "worker")
        }
        return cls(
            columns["complete_ns"] / 1e9,
            columns["issue_ns"] / 1e9,
            columns["output_tokens"],
            columns["input_tokens"],
            columns["worker"],
        )

    def of(self, workers: list[int]) -> Events:
        mine = np.isin(self.worker, workers)
        return Events(
            self.complete_s[mine], self.issue_s[mine], self.tokens[mine], self.inputs[mine], self.worker[mine]
        )

    @property
    def seconds(self) -> float:
        return float(self.complete_s.max()) if len(self.complete_s) else 0.0


def rate(events: Events, *, seconds: float) -> Rate:
    """Tokens/s over ``seconds``, with an interval by batch means: the middle of the test is cut into equal segments,
    and the scatter of their speeds tells that of the mean (Law, Simulation Modeling and Analysis, chapter 9.5.3)."""
    if not len(events.tokens) or seconds <= 0:
        return Rate(0.0, None)
    value = float(events.tokens.sum()) / seconds
    edges = np.linspace(seconds * EDGE, seconds * (1 - EDGE), SEGMENTS + 1)
    place = np.digitize(events.complete_s, edges)
    counts = np.bincount(place, minlength=SEGMENTS + 2)[1 : SEGMENTS + 1]
    if counts.min() < 2:
        return Rate(value, None)
    sums = np.bincount(place, weights=events.tokens, minlength=SEGMENTS + 2)[1 : SEGMENTS + 1]
    speeds = sums / np.diff(edges)
    half = T_975 * float(speeds.std(ddof=1)) / math.sqrt(SEGMENTS)
    return Rate(value, half * value / float(speeds.mean()))


def run_figures(run_dir: Path, *, member: str | None = None) -> dict[str, Any]:
    """A run as rows: ``samples``, ``tokens_per_second``, ``workers``, ``nodes``, ``tokens``, ``resources``.

    ``member`` names the node in place of what the workers said (several LoadGens on one machine).
    """
    session = files.read_json(run_dir / names.SESSION) or {}
    result = files.read_json(run_dir / names.RESULT) or {}
    events = Events.load(run_dir)
    seconds = events.seconds
    workers = []
    for w in session.get("workers", []):
        mine = events.of([w["id"]])
        workers.append(
            {
                "id": w["id"],
                "node": member or w["node"],
                "gpu": w["gpu"],
                "restarts": w["restarts"],
                "rss_bytes": w["rss_bytes"],
                **_speed(mine, seconds),
            }
        )
    resources = summarize_metrics(run_dir / names.METRICS) or {}
    nodes = []
    for name in dict.fromkeys(w["node"] for w in workers):
        here = [w for w in workers if w["node"] == name]
        mine = events.of([w["id"] for w in here])
        nodes.append(
            {
                "node": name,
                "workers": len(here),
                "gpus": sum(w["gpu"] is not None for w in here),
                "kinds": sorted({w["gpu"] or "CPU" for w in here}),
                **_speed(mine, seconds),
            }
        )
    speeds = [w["tokens_per_second"]["value"] for w in workers]
    return {
        "directory": run_dir.name,
        "samples": {k: (session.get("samples") or {}).get(k) for k in ("issued", "completed", "lost", "retried")},
        "valid": result.get("valid"),
        "invalid_reasons": result.get("invalid_reasons") or [],
        "loadgen_tokens_per_second": result.get("tokens_per_second"),
        "seconds": seconds,
        **_speed(events, seconds),
        "imbalance": (max(speeds) - min(speeds)) / (sum(speeds) / len(speeds)) if sum(speeds) else None,
        "workers": workers,
        "nodes": nodes,
        "tokens": _tokens(events),
        "resources": resources,
        "lost_workers": session.get("lost_workers") or [],
    }


def _speed(events: Events, seconds: float) -> dict[str, Any]:
    took = events.complete_s - events.issue_s
    return {
        "samples_completed": len(took),
        "output_tokens": int(events.tokens.sum()),
        "samples_per_second": len(took) / seconds if seconds else 0.0,
        "tokens_per_second": rate(events, seconds=seconds).as_dict(),
        "latency_s": {
            "mean": float(took.mean()),
            "p50": float(np.percentile(took, 50)),
            "p99": float(np.percentile(took, 99)),
        }
        if len(took)
        else None,
    }


def _tokens(events: Events) -> dict[str, dict[str, float]]:
    return {
        name: {
            "mean": float(values.mean()),
            "min": int(values.min()),
            "p50": float(np.percentile(values, 50)),
            "p99": float(np.percentile(values, 99)),
            "max": int(values.max()),
            "total": int(values.sum()),
        }
        for name, values in (("input", events.inputs), ("output", events.tokens))
    }
