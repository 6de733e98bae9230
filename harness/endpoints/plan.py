"""Which points a curve has, what each must do, and how long it takes.

Regions are logarithmic in ``concurrency - C_min``, so points at equal steps of that logarithm fill them evenly; the
last is C_max itself. Rules: mlcommons/endpoints_policies endpoints_rules.md, 5.3 to 5.7 and 6.2 to 6.4.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum

from harness.endpoints.regions import BANDS, Region, Regions, match_bands, regions
from harness.rounds import ENDPOINTS
from harness.rundir.endpoints import PlannedPoint
from mlperf_llama_base.errors import UserError

SPARE_PASSES = 2  # beside those of the steady window: the ramp at the front, and what a window cannot use
POINT_OVERHEAD_S = 90  # the client comes up, drains and tokenises
RAMP = 0.6  # s a request takes alone, and what a card serves at most, where nothing was measured yet
REQUESTS_PER_CARD = 65.0


class Offline(StrEnum):
    """``DEDICATED``: a run of its own with every sample at once. ``ELECTED``: the point at C_max counts for it."""

    DEDICATED = "dedicated"
    ELECTED = "elected"


def make_plan(
    *, c_max: int, c_min: int = ENDPOINTS.low, offline: Offline = Offline.ELECTED, spares: int = 1, short: bool = False
) -> list[PlannedPoint]:
    """The points in the order of running: the lowest first, Offline last.

    ``short``: one pass a point, for a rehearsal. Raises ``UserError`` if the concurrencies make no curve.
    """
    bounds = regions(c_max, c_min)
    chosen = concurrencies(bounds, count=ENDPOINTS.min_points[Offline.ELECTED] - 1 + spares)
    scored = accuracy_points(chosen, bounds)
    points = [
        PlannedPoint(
            concurrency=c,
            region=str(bounds.of(c)),
            accuracy=c in scored,
            offline=str(offline) if c == c_max and offline is Offline.ELECTED else "none",
            min_duration_ms=0 if short else ENDPOINTS.duration_ms(c),
        )
        for c in chosen
    ]
    if offline is Offline.DEDICATED:
        points.append(
            PlannedPoint(
                concurrency=ENDPOINTS.samples,
                region=str(Region.CHOICE),
                accuracy=True,
                offline=str(offline),
                min_duration_ms=0 if short else ENDPOINTS.duration_ms(ENDPOINTS.samples),
            )
        )
    return points


def concurrencies(bounds: Regions, *, count: int) -> list[int]:
    """C_min, and ``count`` concurrencies above it up to C_max. Raises ``UserError`` where they do not fit."""
    span = bounds.c_max - bounds.c_min
    found = {bounds.c_min} | {bounds.c_min + round(span ** (step / count)) for step in range(1, count + 1)}
    if len(found) <= count or any(not _in_band(found, band, bounds) for band in BANDS):
        raise UserError(
            f"C_max {bounds.c_max} with C_min {bounds.c_min} has no room for {count + 1} points in all regions "
            f"({bounds}): take a higher --max-concurrency or fewer --spares"
        )
    return sorted(found)


def _in_band(chosen: set[int], band: Region, bounds: Regions) -> list[int]:
    return [c for c in chosen if band in bounds.bands(c)]


def accuracy_points(chosen: list[int], bounds: Regions) -> set[int]:
    """One of each band: the highest, which is the quickest; for Ultra Low the lowest, which lies in no other."""
    highest = {max(_in_band(set(chosen), band, bounds)) for band in BANDS[1:]}
    return set(match_bands([(c, bounds.bands(c)) for c in sorted({min(chosen), *highest})]).values())


def passes_for(rate: float, min_duration_ms: int, *, samples: int = ENDPOINTS.samples) -> int:
    """Passes over the data set so that a steady window of the minimum time fits. ``rate``: samples/s."""
    if not min_duration_ms:
        return 1
    return math.ceil(max(ENDPOINTS.min_passes, min_duration_ms / 1e3 * rate / samples)) + SPARE_PASSES


def seconds(point: PlannedPoint, rate: float, *, samples: int = ENDPOINTS.samples) -> float:
    """Time of a point at a rate: its passes, one more where accuracy is due, and what surrounds them."""
    passes = passes_for(rate, point.min_duration_ms, samples=samples) + point.accuracy
    return passes * samples / rate + POINT_OVERHEAD_S


def rate_at(concurrency: int, measured: Mapping[int, float]) -> float:
    """Samples/s at a concurrency from those measured at others, between them along the logarithms.

    Below the lowest the rate grows with the concurrency, above the highest it stays. Raises ``ValueError`` without any.
    """
    if not measured:
        raise ValueError("no rate was measured")
    known = sorted(measured.items())
    below = [pair for pair in known if pair[0] <= concurrency]
    above = [pair for pair in known if pair[0] >= concurrency]
    if not below:
        return above[0][1] * concurrency / above[0][0]
    if not above:
        return below[-1][1]
    (c0, r0), (c1, r1) = below[-1], above[0]
    if c0 == c1:
        return r0
    share = math.log(concurrency / c0) / math.log(c1 / c0)
    return float(r0 * (r1 / r0) ** share)


def assumed_rates(c_max: int, *, cards: int) -> dict[int, float]:
    """Rates to plan with before anything was measured: an H100's, rounded. They are said to be assumed."""
    most = REQUESTS_PER_CARD * max(1, cards)
    ladder = [1, *(2**power for power in range(1, 16) if 2**power < c_max), c_max]
    return {c: min(c / RAMP, most) for c in ladder}
