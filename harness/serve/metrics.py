"""What a Prometheus server reads at ``/metrics``: counters, histograms and gauges, by worker."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from harness.monitor import families as named
from harness.monitor.prometheus import Snapshot, counter, histogram
from harness.rundir.served import AnswerCounts
from sut.served import ServedSample
from sut.serving import ServingHub

WHOLE, LEFT, FAILED = "whole", "left", "failed"


class Metrics:
    """``ended`` books an answer; ``page`` is what is read. ``open_streams()``: requests that are being answered.
    ``run``: label of everything, as of a run.

    What can be counted is there at 0 before it is: who reads a counter takes its first value as where it began.
    """

    def __init__(self, hub: ServingHub, open_streams: Callable[[], int], *, run: str) -> None:
        self.registry = registry = CollectorRegistry()
        self._hub = hub
        self._of = (run, named.SERVING)
        self._ttft, self._tpot, self._latency = (
            histogram(family, registry) for family in (named.TTFT, named.TPOT, named.LATENCY)
        )
        self._prompt, self._samples, self._responses, self._cut, self._stalled = (
            counter(f, registry) for f in (named.PROMPT, named.SAMPLES, named.RESPONSES, named.CUT, named.STALLED)
        )
        self.cut: Counter = self._cut.labels(*self._of)
        self.stalled: Counter = self._stalled.labels(*self._of)
        self.most_open = 0
        self._child: Callable[..., Any] = functools.cache(lambda family, *labels: family.labels(*self._of, *labels))
        registry.register(Pool(hub, open_streams, labels=self._of))

    def ended(self, sample: ServedSample, *, stopped: bool) -> None:
        """Book one answer. ``stopped``: a stop string ended it before the engine did."""
        child, worker = self._child, str(sample.worker)
        whole = sample.done or stopped
        outcome = WHOLE if whole else FAILED if sample.failure else LEFT
        child(self._samples, worker, outcome).inc()
        if not whole:
            return
        child(self._prompt, worker).inc(sample.length)
        if not sample.done_ns:
            return
        child(self._latency, worker).observe((sample.done_ns - sample.issue_ns) / 1e9)
        if sample.first_ns:
            made = len(sample.answer) >> 2
            child(self._ttft, worker).observe((sample.first_ns - sample.issue_ns) / 1e9)
            if made > 1:
                child(self._tpot, worker).observe((sample.done_ns - sample.first_ns) / 1e9 / (made - 1))

    def expect(self, paths: Iterable[str]) -> None:
        """Paths that will be answered with 200."""
        for path in paths:
            self._child(self._responses, path, "200")

    def responded(self, path: str, status: int) -> None:
        self._child(self._responses, path, str(status)).inc()

    def counts(self) -> AnswerCounts:
        """What has been answered so far; tokens that were generated and retries are the hub's to say."""
        outcomes = _by_label(self._samples, "outcome")
        found = AnswerCounts(
            whole=outcomes.get(WHOLE, 0),
            left=outcomes.get(LEFT, 0),
            failed=outcomes.get(FAILED, 0),
            prompt_tokens=sum(_by_label(self._prompt, "worker").values()),
            streams_cut=sum(_by_label(self._cut, "run").values()),
            stalled=sum(_by_label(self._stalled, "run").values()),
            most_open=self.most_open,
        )
        for path in _by_label(self._responses, "path"):
            if given := {code: n for code, n in _by_label(self._responses, "status", path=path).items() if n}:
                found.responses[path] = given
        return found

    def page(self) -> bytes:
        for worker in map(str, list(self._hub.workers)):
            for family in (self._prompt, self._ttft, self._tpot, self._latency):
                self._child(family, worker)
            for outcome in (WHOLE, LEFT, FAILED):
                self._child(self._samples, worker, outcome)
        return bytes(generate_latest(self.registry))


def _by_label(counter: Counter, label: str, **others: str) -> dict[str, int]:
    """What a counter has come to, by the values of one label, where its other labels have these values."""
    found: dict[str, int] = {}
    for family in counter.collect():
        for sample in family.samples:
            if sample.name.endswith("_total") and all(sample.labels[k] == v for k, v in others.items()):
                found[sample.labels[label]] = found.get(sample.labels[label], 0) + int(sample.value)
    return found


class Pool(Collector):  # type: ignore[misc]  # prometheus_client's base is not typed here
    """The workers as the hub sees them when it is asked."""

    def __init__(self, hub: ServingHub, open_streams: Callable[[], int], *, labels: tuple[str, ...]) -> None:
        self._hub = hub
        self._open = open_streams
        self._of = labels

    def collect(self) -> Iterator[Metric]:
        hub, found = self._hub, Snapshot()
        found.add(named.OPEN, self._of, self._open())
        found.add(named.QUEUED, self._of, len(hub.dispatcher.queue))
        found.add(named.ISSUED, self._of, hub.dispatcher.issued)
        found.add(named.RETRIES, self._of, hub.dispatcher.retried)
        for number, view in list(hub.workers.items()):
            of_worker = (*self._of, str(number))
            found.add(named.READY, (*of_worker, view.node), float(view.state == "ready"))
            found.add(named.GENERATED, of_worker, view.made)
            found.add(named.RUNNING, of_worker, view.beat.running)
            found.add(named.WAITING, of_worker, view.beat.waiting)
            found.add(named.RESTARTS, of_worker, view.restarts)
            found.add(named.RESIDENT, of_worker, view.beat.rss_bytes)
        yield from found
