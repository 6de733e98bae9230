"""The families as prometheus_client's objects: an adapter of its own, since most runs do without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from harness.monitor.families import Family

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
disable_created_metrics()

_SNAPSHOTS: dict[str, type[Metric]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


def counter(family: Family, registry: CollectorRegistry) -> Counter:
    """One that is counted up where things happen."""
    return Counter(family.full, family.help, family.labels, registry=registry)


def histogram(family: Family, registry: CollectorRegistry) -> Histogram:
    """One that observes single times, in seconds."""
    return Histogram(family.full, family.help, family.labels, registry=registry, buckets=family.buckets)


class Snapshot:
    """Families whose values are known when they are asked for."""

    def __init__(self) -> None:
        self._families: dict[str, Metric] = {}

    def add(self, family: Family, labels: Sequence[str], value: float | None) -> None:
        """Nothing, where the value is not known."""
        if value is not None:
            self._of(family).add_metric(labels, value)

    def add_histogram(self, family: Family, labels: Sequence[str], counts: Sequence[int], total: float) -> None:
        """``counts``: of each bucket alone, and of what lies beyond the last. ``total``: sum of all values."""
        bounds = [*map(str, family.buckets), "+Inf"]
        below = 0
        buckets = [(bound, below := below + count) for bound, count in zip(bounds, counts, strict=True)]
        self._of(family).add_metric(labels, buckets, total)

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._families.values())

    def _of(self, family: Family) -> Metric:
        if family.name not in self._families:
            kind = _SNAPSHOTS[family.kind]
            self._families[family.name] = kind(family.full, family.help, labels=family.labels)
        return self._families[family.name]
