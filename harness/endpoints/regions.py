"""The regions of a curve: from its lowest and its highest concurrency, as the rules compute them.

mlcommons/endpoints_policies endpoints_rules.md, 5.4 and 5.5. Python's ``round`` (half to even) is part of the rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from harness.rounds import ENDPOINTS
from mlperf_llama_base.errors import UserError


class Region(StrEnum):
    """As ``point.yaml`` spells them. ``MARGIN`` fills no region; ``CHOICE`` can be declared, never computed."""

    ULTRA_LOW = "low_latency"
    LOW = "low_concurrency"
    MEDIUM = "med_concurrency"
    HIGH = "high_concurrency"
    MARGIN = "margin"
    CHOICE = "submitters_choice"


BANDS = (Region.ULTRA_LOW, Region.LOW, Region.MEDIUM, Region.HIGH)
"""Each needs a point, and one accuracy result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """The last concurrency of each region; ``c_min`` is that of the computed Ultra Low."""

    c_min: int
    low: int
    medium: int
    c_max: int
    margin: int

    def of(self, concurrency: int) -> Region | None:
        """The region of a concurrency; None above the margin."""
        ends = zip(Region, (self.c_min, self.low, self.medium, self.c_max, self.margin), strict=False)
        return next((region for region, end in ends if concurrency <= end), None)

    def bands(self, concurrency: int) -> list[Region]:
        """The bands that an accuracy result here may fill: up to 32 Ultra Low, whatever else it lies in."""
        region = self.of(concurrency)
        bands = [Region.ULTRA_LOW] if concurrency <= ENDPOINTS.low else []
        return bands + ([region] if region in BANDS and region not in bands else [])

    def __str__(self) -> str:
        return (
            f"Ultra Low 1-{ENDPOINTS.low}, Low {self.c_min + 1}-{self.low}, Medium {self.low + 1}-{self.medium}, "
            f"High {self.medium + 1}-{self.c_max}"
        )


def regions(c_max: int, c_min: int) -> Regions:
    """Raises ``UserError`` for concurrencies that make no curve."""
    if not 1 <= c_min <= ENDPOINTS.low:
        raise UserError(f"C_min must be between 1 and {ENDPOINTS.low}, not {c_min}: the lowest point lies in Ultra Low")
    if c_max <= ENDPOINTS.low + 1:
        raise UserError(
            f"C_max must be above {ENDPOINTS.low + 1}, not {c_max}: a system that serves no more needs the working "
            "group's consent"
        )
    interval = math.log2(c_max - c_min) / 3
    return Regions(
        c_min=c_min,
        low=round(c_min + 2**interval),
        medium=round(c_min + 2 ** (2 * interval)),
        c_max=c_max,
        margin=math.ceil(ENDPOINTS.margin * c_max),
    )


def match_bands(results: list[tuple[int, list[Region]]]) -> dict[Region, int]:
    """Give each band at most one accuracy result, and each result at most one band, so that most bands are filled.

    ``results``: concurrency and the bands that it may fill; an elected C_max last, since it may be Offline's alone.
    """
    owner: dict[Region, int] = {}
    options = dict(results)

    def place(concurrency: int, seen: set[Region]) -> bool:
        for band in options[concurrency]:
            if band not in seen:
                seen.add(band)
                if band not in owner or place(owner[band], seen):
                    owner[band] = concurrency
                    return True
        return False

    for concurrency, _ in results:
        place(concurrency, set())
    return owner
