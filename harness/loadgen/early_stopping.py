"""LoadGen's early-stopping rule, so that the gate explains it and the tuner can plan with it.

LoadGen accepts a percentile claim only when a run of this length, at the claimed percentile, would show so few samples
over the limit with less than 1 % chance (mlcommons/inference, loadgen/early_stopping.cc and results.cc EarlyStopping:
confidence 0.99, tolerance 0). Percentiles are taken as LoadGen takes them: ``sorted[int(n * percentile)]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.99


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """``value_ns``: the percentile. ``needed``: queries that a run with ``over`` queries over the limit must have.

    ``met``: what LoadGen calls "early stopping satisfied"; ``within_limit``: what it calls "performance constraints".
    """

    queries: int
    over: int
    allowed: int
    needed: int
    value_ns: int
    met: bool
    within_limit: bool


def _cumulative(*, queries: int, most: int, percentile: float) -> npt.NDArray[np.float64]:
    """P(X <= k) for k = 0..most, X ~ Binomial(queries, 1 - percentile): the odds of early_stopping.cc."""
    fail = 1.0 - percentile
    k = np.arange(most, dtype=np.float64)
    ratios = np.log((queries - k) / (k + 1.0)) + np.log(fail / percentile)
    log_pmf = queries * np.log(percentile) + np.concatenate(([0.0], np.cumsum(ratios)))
    return np.cumsum(np.exp(log_pmf))


def allowed_over_limit(queries: int, percentile: float = 0.99) -> int:
    """Most queries of ``queries`` that may be over the limit; -1 when even none is too few queries to tell.

    Raises ``ValueError`` for a percentile outside (0, 1).
    """
    _check(percentile)
    if queries <= 0:
        return -1
    most = min(queries - 1, int(np.ceil(queries * (1.0 - percentile))) + 1)  # odds at the mean are far above 1 %
    odds = _cumulative(queries=queries, most=most, percentile=percentile)
    return int(np.count_nonzero(odds < 1.0 - CONFIDENCE)) - 1


@cache
def min_queries(over: int, percentile: float = 0.99) -> int:
    """Fewest queries of which ``over`` may be over the limit (459 for 0, 662 for 1 at the 99th percentile)."""
    _check(percentile)
    if over < 0:
        raise ValueError("over must not be negative")
    low, high = over + 1, 2 * over + 16
    while allowed_over_limit(high, percentile) < over:
        low, high = high + 1, 2 * high
    while low < high:
        middle = (low + high) // 2
        if allowed_over_limit(middle, percentile) >= over:
            high = middle
        else:
            low = middle + 1
    return low


def percentile_of(latencies_ns: npt.ArrayLike, percentile: float) -> int:
    """LoadGen's percentile of int latencies, any order, shape [n]; no interpolation (loadgen/results.cc)."""
    values = np.sort(np.asarray(latencies_ns))
    return int(values[int(len(values) * percentile)])


def assess(latencies_ns: npt.ArrayLike, limit_ns: int, percentile: float = 0.99) -> Judgement:
    """Judge latencies (ns, shape [n]) as LoadGen's Server scenario judges TTFT and TPOT. Raises ``ValueError`` if
    empty.
    """
    values = np.asarray(latencies_ns)
    if values.size == 0:
        raise ValueError("no latencies to judge")
    over = int(np.count_nonzero(values > limit_ns))
    needed = min_queries(over, percentile)
    value = percentile_of(values, percentile)
    return Judgement(
        queries=values.size,
        over=over,
        allowed=allowed_over_limit(values.size, percentile),
        needed=needed,
        value_ns=value,
        met=values.size >= needed,
        within_limit=value <= limit_ns,
    )


def _check(percentile: float) -> None:
    if not 0.0 < percentile < 1.0:
        raise ValueError(f"percentile must lie between 0 and 1, got {percentile}")
