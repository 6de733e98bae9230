"""What a Prometheus server reads at ``/metrics``: counters, histograms and gauges, by worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sut.served import ServedSample
from sut.serving import ServingHub

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "mlperf_llama_serve"
FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
TOKEN = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.5, 1.0)
WHOLE = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """``ended`` books an answer; ``page`` is what is read. ``open_streams()``: requests that are being answered."""

    def __init__(self, hub: ServingHub, open_streams: Callable[[], int]) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        by_worker = {"labelnames": ("worker",), "registry": self.registry}
        self._ttft = Histogram(
            f"{PREFIX}_time_to_first_token_seconds", "From a request to its first token", buckets=FAST, **by_worker
        )
        self._tpot = Histogram(
            f"{PREFIX}_time_per_output_token_seconds",
            "Mean time of a token after the first",
            buckets=TOKEN,
            **by_worker,
        )
        self._latency = Histogram(
            f"{PREFIX}_request_latency_seconds", "From a request to its last token", buckets=WHOLE, **by_worker
        )
        self._prompt = Counter(f"{PREFIX}_prompt_tokens", "Tokens of answered prompts", **by_worker)
        self._made = Counter(f"{PREFIX}_generation_tokens", "Tokens of whole answers, their EOS included", **by_worker)
        self._answers = Counter(
            f"{PREFIX}_answers",
            "Answers by how they ended: whole, left (the client went away), failed",
            ["worker", "outcome"],
            registry=self.registry,
        )
        self._responses = Counter(
            f"{PREFIX}_responses", "HTTP responses by path and status", ["path", "status"], registry=self.registry
        )
        self.cut = Counter(f"{PREFIX}_streams_cut", "Streams that ended with an error event", registry=self.registry)
        self.stalled = Counter(
            f"{PREFIX}_connections_stalled", "Connections cut because their client did not read", registry=self.registry
        )
        self.registry.register(Pool(hub, open_streams))

    def ended(self, sample: ServedSample, *, stopped: bool) -> None:
        """Book one answer. ``stopped``: a stop string ended it before the engine did."""
        worker = str(sample.worker)
        whole = sample.done or stopped
        outcome = "whole" if whole else "failed" if sample.failure else "left"
        self._answers.labels(worker, outcome).inc()
        if not whole:
            return
        made = len(sample.answer) >> 2
        self._prompt.labels(worker).inc(sample.length)
        self._made.labels(worker).inc(made)
        if not sample.done_ns:
            return
        self._latency.labels(worker).observe((sample.done_ns - sample.issue_ns) / 1e9)
        if sample.first_ns:
            self._ttft.labels(worker).observe((sample.first_ns - sample.issue_ns) / 1e9)
            if made > 1:
                self._tpot.labels(worker).observe((sample.done_ns - sample.first_ns) / 1e9 / (made - 1))

    def responded(self, path: str, status: int) -> None:
        self._responses.labels(path, str(status)).inc()

    def page(self) -> bytes:
        return bytes(generate_latest(self.registry))


class Pool(Collector):  # type: ignore[misc]  # prometheus_client's base is not typed here
    """The workers as the hub sees them when it is asked."""

    def __init__(self, hub: ServingHub, open_streams: Callable[[], int]) -> None:
        self._hub = hub
        self._open = open_streams

    def collect(self) -> Iterator[Metric]:
        hub = self._hub
        yield GaugeMetricFamily(f"{PREFIX}_open_requests", "Requests that are being answered", value=self._open())
        yield GaugeMetricFamily(f"{PREFIX}_queued", "Prompts that no worker has yet", value=len(hub.dispatcher.queue))
        yield CounterMetricFamily(f"{PREFIX}_retries", "Prompts given to another worker", value=hub.dispatcher.retried)
        ready = GaugeMetricFamily(f"{PREFIX}_worker_ready", "1: the worker takes requests", labels=["worker", "node"])
        running = GaugeMetricFamily(f"{PREFIX}_running", "Requests that a worker computes", labels=["worker"])
        waiting = GaugeMetricFamily(f"{PREFIX}_waiting", "Requests that wait in a worker", labels=["worker"])
        restarts = CounterMetricFamily(
            f"{PREFIX}_worker_restarts", "Times a worker was started again", labels=["worker"]
        )
        for number, view in list(hub.workers.items()):
            name = str(number)
            ready.add_metric([name, view.node], float(view.state == "ready"))
            running.add_metric([name], view.beat.running)
            waiting.add_metric([name], view.beat.waiting)
            restarts.add_metric([name], view.restarts)
        yield from (ready, running, waiting, restarts)
