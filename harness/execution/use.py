"""How much of each node a test used, from what the monitor sampled while it ran."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from harness.inventory.gpu import THROTTLE_REASONS
from harness.rundir.energy import Floats, series, window
from harness.rundir.execution_results import Use
from harness.rundir.record import RunRecord

STEADY = ("used_bytes", "total_bytes", "memory_used_bytes")  # says the same a moment earlier or later


def use_by_node(run: RunRecord) -> dict[str, Use]:
    """By the name of the node; empty where nothing was sampled. Only readings of the test's own time count."""
    if run.metrics is None:
        return {}
    start, end = window(run.ran)
    inside: dict[str, dict[tuple[str, str], tuple[Floats, Floats]]] = {}
    for (node, source, name), (at, value) in series(run.metrics).items():
        during = (at >= start) & (at <= end)
        if not during.any() and name in STEADY:  # a test shorter than the monitor's interval: its nearest reading
            during[int(np.abs(at - (start if np.isfinite(start) else at[0])).argmin())] = True
        inside.setdefault(node, {})[source, name] = (at[during], value[during])
    facts = json.loads((run.metrics.schema.metadata or {}).get(b"facts", b"{}"))
    return {node: _use(found, facts.get(node) or {}) for node, found in inside.items()}


def _use(found: dict[tuple[str, str], tuple[Floats, Floats]], facts: dict[str, dict[str, Any]]) -> Use:
    def values(source: str, name: str) -> Floats:
        return found.get((source, name), (np.empty(0), np.empty(0)))[1]

    gpus = sorted({source for source, _ in found if source.startswith("gpu")})
    busiest, used, total = values("cpu", "busiest_core_pct"), values("mem", "used_bytes"), values("mem", "total_bytes")
    return Use(
        cpu_pct=_mean(values("cpu", "utilisation_pct")),
        busiest_core_pct=float(np.median(busiest)) if len(busiest) else None,
        memory_used_bytes=float(used.max()) if len(used) else None,
        memory_total_bytes=float(total.max()) if len(total) else None,
        gpu_pct=_mean(np.concatenate([values(g, "utilisation_pct") for g in gpus])) if gpus else None,
        gpu_memory_used_bytes=_highest([values(g, "memory_used_bytes") for g in gpus]),
        gpu_memory_total_bytes=_sum([facts.get(g, {}).get("memory_bytes") for g in gpus]),
        throttled=_throttled([values(g, "throttle_reasons") for g in gpus]),
        sent_mb_s=_growth(*found.get(("net", "sent_bytes"), (np.empty(0), np.empty(0)))),
        received_mb_s=_growth(*found.get(("net", "received_bytes"), (np.empty(0), np.empty(0)))),
    )


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if len(values) else None


def _highest(of_gpus: list[Floats]) -> float | None:
    """The sum of each GPU's highest value."""
    return _sum([float(values.max()) if len(values) else None for values in of_gpus])


def _sum(values: list[float | None]) -> float | None:
    """None where one is not known: a sum of some would be taken for that of all."""
    return sum(v or 0.0 for v in values) if values and None not in values else None


def _throttled(of_gpus: list[Floats]) -> dict[str, float]:
    known = [values for values in of_gpus if len(values)]
    bits = np.concatenate(known).astype(np.int64) if known else np.empty(0, dtype=np.int64)
    shares = {text: float(np.mean((bits & bit) != 0)) for bit, text in THROTTLE_REASONS.items()} if len(bits) else {}
    return {text: share for text, share in shares.items() if share > 0}


def _growth(at: Floats, value: Floats) -> float | None:
    """MB/s between the first reading of a counter and its last."""
    return float((value[-1] - value[0]) / (at[-1] - at[0]) / 1e6) if len(at) > 1 and at[-1] > at[0] else None
