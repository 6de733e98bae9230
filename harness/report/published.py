"""Where a run stands among the published results of this benchmark, and beside the makers' own tables.

The fair unit is samples/s: the token count of one and the same sample differs by one between submissions (their SUT
reports it), the sample does not. Results are taken per accelerator, since systems hold one to sixteen of them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from harness.config import Benchmark, Scenario
from harness.report.accelerators import accelerator_of
from harness.report.load import RunData
from harness.report.noise import bounds, percentile_draws, rate_draws
from mlperf_llama_base import typed

TABLE = Path(__file__).parent / "published.json"
TOKENS_PER_SAMPLE = 128.5  # logs of one and the same software count 128 or 129, so this is right to 0.4 %


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """One result that MLCommons published; rates are of the whole system. ``accelerator``: None where there is none.

    ``samples_per_s``: LoadGen's, None where no log was read. ``latency_ms``: SingleStream's 90th percentile.
    """

    round: str
    division: str
    category: str
    submitter: str
    system: str
    accelerator: str | None
    count: int | None
    scenario: str
    tokens_per_s: float | None
    latency_ms: float | None
    samples_per_s: float | None
    software: str | None
    precision: str | None
    availability: str | None
    note: str | None

    @property
    def estimated(self) -> bool:
        """Whether samples/s had to be worked out from tokens/s."""
        return self.samples_per_s is None and self.latency_ms is None

    @property
    def per_accelerator(self) -> float:
        """Samples/s of each accelerator (of the system where it has none); in SingleStream one over the latency."""
        if self.latency_ms is not None:
            return 1000 / self.latency_ms
        total = self.samples_per_s if self.samples_per_s is not None else (self.tokens_per_s or 0.0) / TOKENS_PER_SAMPLE
        return total / (self.count or 1)


class Point(msgspec.Struct, frozen=True):
    input_tokens: int
    output_tokens: int
    tokens_per_s: float


class VendorTable(msgspec.Struct, frozen=True, kw_only=True):
    """What a maker publishes about one accelerator at full load. Not an MLPerf result, and not reviewed."""

    vendor: str
    software: str
    model: str
    precision: str
    accelerator: str
    points: list[Point]
    source: str

    def samples_per_s(self, input_tokens: float) -> float | None:
        """At this input length, between the two points: a sample's time grows linearly with its prompt.

        None outside of the points, which say nothing of other lengths.
        """
        first, last = self.points[0], self.points[-1]
        if not first.input_tokens <= input_tokens <= last.input_tokens:
            return None
        seconds = [p.output_tokens / p.tokens_per_s for p in (first, last)]
        return float(1 / np.interp(input_tokens, [first.input_tokens, last.input_tokens], seconds))


class PublishedTable(msgspec.Struct, kw_only=True):
    benchmark: str
    note: str
    sources: dict[str, str]
    results: list[Published]
    vendor_tables: list[VendorTable]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """``per_accelerator``: this run's samples/s for each of ``count`` accelerators, ``low`` to ``high`` with 95 %.

    ``peers``: published rows of the scenario, the best first; ``same``: those on the same accelerator.
    ``vendors``: makers' tables with their samples/s at this run's input length. ``not_comparable``: reasons.
    """

    accelerator: str | None
    count: int
    per_accelerator: float
    low: float
    high: float
    peers: list[Published]
    same: list[Published]
    vendors: list[tuple[VendorTable, float]]
    not_comparable: list[str]

    @property
    def rivals(self) -> list[Published]:
        """Those that a place is counted among: in the open division other data and other limits are allowed."""
        return [row for row in self.same if row.division == "closed"]


@functools.cache
def table() -> PublishedTable:
    """The table shipped with the program."""
    return typed.from_json(TABLE.read_bytes(), PublishedTable)


def standing(run: RunData) -> Standing | None:
    """Return the run's standing, None where it has no rate or its scenario was never published."""
    category = "edge" if run.benchmark is Benchmark.EDGE else "datacenter"
    peers = sorted(
        (row for row in table().results if (row.scenario, row.category) == (run.scenario.directory, category)),
        key=lambda row: row.per_accelerator,
        reverse=True,
    )
    rate = _rate(run)
    if rate is None or not peers or run.mode == "accuracy":
        return None
    kinds = {accelerator_of(name) for name in run.gpu_names}
    kind = kinds.pop() if len(kinds) == 1 else None
    count = max(len(run.gpu_names), 1)
    low, high = _interval(run)
    return Standing(
        accelerator=kind,
        count=count,
        per_accelerator=rate / count,
        low=low * rate / count,
        high=high * rate / count,
        peers=peers,
        same=[row for row in peers if kind is not None and row.accelerator == kind],
        vendors=_vendors(run, kind),
        not_comparable=why_not_comparable(run),
    )


def _rate(run: RunData) -> float | None:
    """Samples/s as LoadGen has it; in SingleStream one over the 90th percentile of the latency."""
    if run.scenario is Scenario.SINGLESTREAM:
        latency = run.percentile_ms("latency", "p90")
        return 1000 / latency if latency else None
    return run.result.samples_per_second if run.result else None


def _interval(run: RunData) -> tuple[float, float]:
    """The 95 % interval of the rate relative to it, from the run itself; (1, 1) without its events."""
    events = run.events
    if events is None or len(events) < 2:
        return 1.0, 1.0
    if run.scenario is Scenario.SINGLESTREAM:
        values = events.latency[np.argsort(events.issue, kind="stable")]
        found = bounds(float(np.percentile(values, 90)) / percentile_draws(values, (90,), seed=0)[:, 0])
    else:
        found = bounds(rate_draws(events, np.ones(len(events)), seed=0))
    return found if np.isfinite(found).all() else (1.0, 1.0)


def _vendors(run: RunData, kind: str | None) -> list[tuple[VendorTable, float]]:
    """The makers' figures for this accelerator at this run's input length. They are of full load: Offline only."""
    length = run.result.tokens.input_mean if run.result else None
    if run.scenario is not Scenario.OFFLINE or length is None:
        return []
    found = [(row, row.samples_per_s(length)) for row in table().vendor_tables if row.accelerator == kind]
    return [(row, rate) for row, rate in found if rate is not None]


def why_not_comparable(run: RunData) -> list[str]:
    """Return every recorded reason for which this rate may not stand beside a published one."""
    names = run.gpu_names
    reasons = [] if run.valid else ["the run is not valid"]
    reasons += run.result.not_submittable_reasons if run.result else []
    if not reasons and not (run.result and run.result.submittable):
        reasons.append("the result does not say that it may be submitted")
    if not names:
        reasons.append("no accelerator was seen; published CPU results are of whole systems")
    elif len({accelerator_of(name) for name in names}) > 1:
        reasons.append("accelerators of several kinds")
    return reasons
