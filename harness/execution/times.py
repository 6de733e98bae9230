"""A request's own time: from when a worker was given it to its completion.

The time since LoadGen issued it says something else: Offline issues everything at the start, so that its mean is half
the length of the test whatever the system is.
"""

from __future__ import annotations

import datetime
import math

import numpy as np

from harness.report.noise import t_975
from harness.rundir.events import Events, Floats
from harness.rundir.execution_results import RequestTime
from harness.rundir.record import RunRecord
from harness.scaling.figures import SEGMENTS, T_975

FEW = 100  # batches; from here on neighbours are taken together, since what runs at once is not independent
TOGETHER = 1e-4  # of a request's time: what completes within that came out of one step


def request_time(events: Events) -> RequestTime | None:
    """Seconds; None where no sample completed."""
    took = events.in_hand
    if not len(took):
        return None
    p50, p99 = np.percentile(took, [50, 99])
    first = events.first_token - events.dispatch
    seen = first[np.isfinite(first)]
    return RequestTime(
        mean=float(took.mean()),
        p50=float(p50),
        p99=float(p99),
        max=float(took.max()),
        mean_ci95=half_interval(_by_batch(took, events.complete)),
        first_token_mean=float(seen.mean()) if len(seen) else None,
        waited_mean=float((events.dispatch - events.issue).mean()),
    )


def _by_batch(took: Floats, complete: Floats) -> Floats:
    """The mean time of what completed together, in the order of completion: a batch is one observation, whatever its
    size.
    """
    order = np.argsort(complete, kind="stable")
    begins = np.flatnonzero(np.diff(complete[order], prepend=-np.inf) > TOGETHER * took.mean())
    return np.asarray(np.add.reduceat(took[order], begins) / np.diff(begins, append=len(took)), dtype=np.float64)


def half_interval(values: Floats) -> float | None:
    """Half of the 95 % interval of the mean: by batch means of neighbours from 100 values on; None below 5."""
    if len(values) < 5:
        return None
    if len(values) < FEW:
        return t_975(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    means = np.array([part.mean() for part in np.array_split(values, SEGMENTS)])
    return T_975 * float(means.std(ddof=1)) / math.sqrt(SEGMENTS)


def started(record: RunRecord) -> float | None:
    """Unix time at which the test began, by the clock of its machine."""
    text = record.ran.test_started
    return datetime.datetime.fromisoformat(text).timestamp() if text else None
