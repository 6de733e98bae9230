"""Axes: round ticks, and the bins that turn a long series into few points."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BINS = 200


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return about ``wanted`` round numbers, the first at or below ``low``, the last at or above ``high``."""
    if not high > low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def tick_text(value: float) -> str:
    """Return a tick's label: ``12k`` above ten thousand, no needless zeros."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if suffix == 'k' else size):g}{suffix}"
    return f"{value:g}"


def binned(at: Floats, value: Floats, edges: Floats) -> Floats:
    """Return the mean of ``value`` in each bin of ``edges``; NaN where a bin is empty."""
    count, _ = np.histogram(at, edges)
    total, _ = np.histogram(at, edges, weights=value)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / np.where(count, count, np.nan), dtype=np.float64)


def binned_percentile(at: Floats, value: Floats, edges: Floats, percent: float) -> Floats:
    """Return a percentile of ``value`` in each bin of ``edges``; NaN where a bin is empty."""
    inside = (at >= edges[0]) & (at <= edges[-1])
    at, value = at[inside], value[inside]
    order = np.argsort(at, kind="stable")
    cuts = np.searchsorted(at[order], edges[1:-1])
    return np.array([np.percentile(part, percent) if len(part) else np.nan for part in np.split(value[order], cuts)])


def edges_over(start: float, end: float, bins: int = BINS) -> Floats:
    """Return the edges of ``bins`` equal bins."""
    return np.linspace(start, max(end, start + 1e-9), bins + 1)
