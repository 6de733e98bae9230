"""Judge a probe as LoadGen would judge a full-length run of the same rate. Pure functions of what was measured.

A probe is short, so LoadGen's rule on its own samples is not enough. Bursts that a long run meets now and then may not
come in it at all: the tail of a long run is predicted from the spread of the whole window. And the backlog may grow,
which ends in failure however good the latencies are by then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.config import Benchmark, Scenario
from harness.loadgen.early_stopping import allowed_over_limit, assess, percentile_of
from harness.loadgen.length import full_length

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
GROWTH_SIGMAS = 4.0
FLOOR = 0.005  # least error of a headroom


@dataclass(frozen=True, kw_only=True)
class Window:
    """The judged samples that are done, shape [n] each: times in ns of one clock, ``tokens`` generated."""

    scheduled: Ints
    first: Ints
    complete: Ints
    tokens: Ints

    @property
    def ttft(self) -> Ints:
        return self.first - self.scheduled

    @property
    def tpot(self) -> Ints:
        """ns for each token after the first, as LoadGen counts them (loadgen/logging.cc)."""
        return np.asarray((self.complete - self.first) // np.maximum(self.tokens - 1, 1))


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Of the requests that wait for their first token: requests/s, and that in standard deviations of the arrivals."""

    per_second: float = 0.0
    sigmas: float = 0.0

    @property
    def certain(self) -> bool:
        return self.sigmas > GROWTH_SIGMAS


def growth(times_s: Floats, backlog: Floats, rate: float) -> Growth:
    """Compare the first, second and last third of a backlog sampled at ``times_s``, both [n], with ``rate`` arrivals/s.

    Poisson arrivals alone move a backlog by sqrt(rate * t); only a steady rise beyond that is growth.
    """
    if len(times_s) < 9:
        return Growth()
    span = float(times_s[-1] - times_s[0]) * 2 / 3
    first, second, last = (float(part.mean()) for part in np.array_split(backlog, 3))
    if not first < second < last or span <= 0:
        return Growth()
    return Growth(per_second=(last - first) / span, sigmas=(last - first) / math.sqrt(max(rate * span, 1.0)))


def full_length_share(rate: float) -> float:
    """Share of queries over a limit that early stopping accepts in a full-length run at ``rate``: of 600 s, in whole
    rounds of the data set (equal issue).
    """
    queries = full_length(Scenario.SERVER, rate=rate, samples=Benchmark.DATACENTER.sample_count).samples
    return allowed_over_limit(queries) / queries


def probe_figures(window: Window, limits_ns: tuple[int, int], share: float) -> dict[str, Any]:
    """The latency fields of :class:`Probe`; ``share``: of queries over a limit that a full-length run may have."""
    queries = len(window.scheduled)
    out: dict[str, Any] = {"queries": queries, "allowed": allowed_over_limit(queries)}
    out |= {"early_stopping_met": False, "ttft_over": 0, "tpot_over": 0}
    if not queries:
        return out
    verdicts = []
    for name, values, limit in (("ttft", window.ttft, limits_ns[0]), ("tpot", window.tpot, limits_ns[1])):
        verdicts.append(assess(values, limit))
        out[f"{name}_over"] = verdicts[-1].over
        for percent in (50, 90, 99):
            out[f"{name}_p{percent}_ms"] = percentile_of(values, percent / 100) / 1e6
    out["early_stopping_met"] = all(v.met and v.within_limit for v in verdicts)
    room = limits_ns[0] / max(float(np.quantile(window.ttft, 1 - share)), 1.0)
    out |= {"headroom_ttft": room, "error_ttft": 0.15 * room}
    return out | tail_headroom(window, limits_ns[1], share)


def tail_headroom(window: Window, limit_ns: int, share: float) -> dict[str, float]:
    """Limit / TPOT at the quantile ``1 - share`` of a long run (``headroom_tpot``, with its standard error).

    Requests in the system at the same time share its steps, so a window holds only about as many ``independent``
    samples as it is long in latencies: too few to meet a 99th percentile, enough for a mean and a spread. The logarithm
    of the TPOT is taken as normal (``tpot_room``: the geometric mean of limit / TPOT; ``tpot_spread``: the standard
    deviation of its logarithm), and the spread corrected for the few samples that it comes from.
    """
    logs = np.log(limit_ns / np.maximum(window.tpot, 1))
    span = float(window.scheduled.max() - window.scheduled.min())
    latency = float((window.complete - window.scheduled).mean())
    independent = max(min(span / max(latency, 1.0), float(len(logs))), 1.5)
    z = NormalDist().inv_cdf(1 - share)
    spread = float(logs.std()) * math.sqrt(independent / (independent - 1))
    room = math.exp(float(logs.mean()) - z * spread)
    error = room * spread * math.sqrt(1 / independent + z * z / (2 * max(independent - 1, 0.5))) + FLOOR
    return {
        "headroom_tpot": room,
        "error_tpot": error,
        "tpot_room": math.exp(float(logs.mean())),
        "tpot_spread": spread,
        "independent": independent,
    }


def decide(figures: dict[str, Any], grown: Growth, *, share: float) -> tuple[bool, str]:
    """Return ``(valid, reason)`` of a probe's figures."""
    reasons = []
    for name in ("ttft", "tpot"):
        over, room = figures[f"{name}_over"], figures.get(f"headroom_{name}") or 0.0
        allowed = max(share * figures["queries"], figures["allowed"])
        if over > allowed:
            reasons.append(f"{name.upper()}: {over} over the limit, {math.floor(allowed)} allowed")
        elif room < 1.0:
            reasons.append(f"{name.upper()}: a long run's p99 would be {1 / max(room, 1e-9):.3f} of the limit")
    if grown.certain:
        reasons.append(f"the backlog grows by {grown.per_second:.3g} requests/s")
    return not reasons, "; ".join(reasons) or "within the limits"
