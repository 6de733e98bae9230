"""What Prometheus is told, by a run and by a server alike: names, labels, buckets, each written once.

Without prometheus_client, so that whoever fills a histogram's buckets need not have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.rundir.columns import READINGS

PREFIX = "mlperf_llama"
OF_RUN = ("run", "scenario")
OF_WORKER = (*OF_RUN, "worker")
SERVING = "serve"
"""The scenario of a server. A run's label is the name of its directory."""

FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
TOKEN = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.5, 1.0)
WHOLE = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0)


@dataclass(frozen=True)
class Family:
    """``name``: without the prefix and a counter's ``_total``. ``buckets``: of a histogram, upper bounds in seconds."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()

    @property
    def full(self) -> str:
        return f"{PREFIX}_{self.name}"


def _counter(name: str, text: str, labels: tuple[str, ...] = OF_WORKER) -> Family:
    return Family("counter", name, text, labels)


def _gauge(name: str, text: str, labels: tuple[str, ...] = OF_WORKER) -> Family:
    return Family("gauge", name, text, labels)


def _histogram(name: str, text: str, buckets: tuple[float, ...]) -> Family:
    return Family("histogram", name, text, OF_WORKER, buckets)


TTFT = _histogram("time_to_first_token_seconds", "From a sample's issue to its first token", FAST)
TPOT = _histogram("time_per_output_token_seconds", "Mean time of a token after the first", TOKEN)
LATENCY = _histogram("request_latency_seconds", "From a sample's issue to its last token", WHOLE)
GENERATED = _counter("generation_tokens", "Tokens made so far, those of unfinished answers included")
PROMPT = _counter("prompt_tokens", "Tokens of answered prompts")
SAMPLES = _counter(
    "samples", "Samples by how they ended: whole, left (the client went away), failed", (*OF_WORKER, "outcome")
)
RESTARTS = _counter("worker_restarts", "Times a worker was started again")
READY = _gauge("worker_ready", "1: the worker takes samples", (*OF_WORKER, "node"))
RUNNING = _gauge("running", "Samples that a worker computes")
WAITING = _gauge("waiting", "Samples that wait in a worker")
RESIDENT = _gauge("worker_rss_bytes", "Memory of a worker's process")
ISSUED = _counter("samples_issued", "Samples asked for, by LoadGen or by the clients of a server", OF_RUN)
EXPECTED = _gauge("samples_expected", "Samples that the test will issue", OF_RUN)
QUEUED = _gauge("queued", "Samples that no worker has yet", OF_RUN)
RETRIES = _counter("retries", "Samples given to another worker", OF_RUN)
TTFT_LIMIT = _gauge("time_to_first_token_limit_seconds", "What the scenario allows the 99th percentile", OF_RUN)
TPOT_LIMIT = _gauge("time_per_output_token_limit_seconds", "What the scenario allows the 99th percentile", OF_RUN)
OPEN = _gauge("open_requests", "HTTP requests that are being answered", OF_RUN)
RESPONSES = _counter("responses", "HTTP responses by path and status", (*OF_RUN, "path", "status"))
CUT = _counter("streams_cut", "Streams that ended with an error event", OF_RUN)
STALLED = _counter("connections_stalled", "Connections cut because their client did not read", OF_RUN)

_GROWING = {(one.source, one.name) for one in READINGS if one.grows}


def of_hardware(kind: str, name: str) -> Family:
    """A reading of metrics.parquet, ``power_w`` of a ``gpu`` for example, under the same name."""
    text = f"{name} of {kind}, as in metrics.parquet"
    labels = ("run", "node", "source")
    make = _counter if (kind, name) in _GROWING else _gauge
    return make(f"{kind}_{name}", text, labels)
