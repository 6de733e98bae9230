"""Joules of a run, from the GPUs' own energy counters, or from their power where they have none.

This is what the GPUs report for themselves. It is no MLPerf Power result: that needs a calibrated external meter
(mlcommons/power-dev).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from harness.rundir.session import SessionRecord

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Energy:
    """``per_gpu``: joules by ``node/gpuN`` over ``seconds`` of the test window. Ratios are None without tokens."""

    per_gpu: dict[str, float]
    seconds: float
    total_j: float
    mean_w: float
    output_tokens_per_joule: float | None
    joules_per_sample: float | None


def energy_of(table: pa.Table, session: SessionRecord) -> Energy | None:
    """Return what the GPUs used between the test's start and end; None without GPU readings in that time.

    ``table``: the run's metrics; ``session``: its session.json.
    """
    start, end = window(session)
    per_gpu: dict[str, float] = {}
    spans: list[float] = []
    for key, readings in gpu_series(table).items():
        joules, seconds = _joules(readings, start, end)
        if joules is not None:
            per_gpu[key] = joules
            spans.append(seconds)
    if not per_gpu:
        return None
    total, longest = sum(per_gpu.values()), max(spans)
    tokens = session.tokens.output_total if session.tokens else None
    samples = session.samples.completed
    return Energy(
        per_gpu=per_gpu,
        seconds=longest,
        total_j=total,
        mean_w=total / longest,
        output_tokens_per_joule=tokens / total if tokens and total else None,
        joules_per_sample=total / samples if samples else None,
    )


def window(session: SessionRecord) -> tuple[float, float]:
    """Return the test's start and end as Unix time; open (infinite) ends where they are not recorded."""
    return (_unix(session.test_started, -np.inf), _unix(session.test_ended, np.inf))


def gpu_series(table: pa.Table) -> dict[str, dict[str, tuple[Floats, Floats]]]:
    """Return time and value of every reading of every GPU: ``{"node/gpu0": {"power_w": (t_s, value)}}``."""
    found: dict[str, dict[str, tuple[Floats, Floats]]] = {}
    for (node, source, name), pair in series(table).items():
        if source.startswith("gpu"):
            found.setdefault(f"{node}/{source}", {})[name] = pair
    return found


def series(table: pa.Table) -> dict[tuple[str, str, str], tuple[Floats, Floats]]:
    """Return time and value, in order of time, by node, source and name."""
    if len(table) == 0:
        return {}
    columns = [table[name].combine_chunks() for name in ("node", "source", "name")]
    words = [column.dictionary.to_pylist() for column in columns]
    codes = [column.indices.to_numpy(zero_copy_only=False).astype(np.int64) for column in columns]
    key = (codes[0] * len(words[1]) + codes[1]) * len(words[2]) + codes[2]
    at, value = table["t_s"].to_numpy(), table["value"].to_numpy()
    order = np.lexsort((at, key))
    key, at, value = key[order], at[order], value[order]
    edges = np.flatnonzero(np.diff(key)) + 1
    found = {}
    for first, last in zip([0, *edges], [*edges, len(key)], strict=True):
        if last > first:
            rest, name = divmod(int(key[first]), len(words[2]))
            node, source = divmod(rest, len(words[1]))
            found[words[0][node], words[1][source], words[2][name]] = (at[first:last], value[first:last])
    return found


def _joules(readings: dict[str, tuple[Floats, Floats]], start: float, end: float) -> tuple[float | None, float]:
    at, value = readings.get("energy_j") or readings.get("power_w") or (np.empty(0), np.empty(0))
    if len(at) < 2:
        return None, 0.0
    first, last = max(start, float(at[0])), min(end, float(at[-1]))
    if last <= first:
        return None, 0.0
    if "energy_j" in readings:
        return float(np.interp(last, at, value) - np.interp(first, at, value)), last - first
    inside = np.concatenate([[first], at[(at > first) & (at < last)], [last]])
    return float(np.trapezoid(np.interp(inside, at, value), inside)), last - first


def _unix(text: str | None, otherwise: float) -> float:
    try:
        return datetime.fromisoformat(text).timestamp() if text else otherwise
    except ValueError:
        return otherwise
