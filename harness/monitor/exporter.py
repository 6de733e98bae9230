"""The newest state of a run for Prometheus: its samples, its workers, and the hardware below them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from harness.monitor import families as named
from harness.monitor.node import NodeSample
from harness.monitor.prometheus import Snapshot
from harness.rundir.status import Histogram, Status, WorkerStatus
from mlperf_llama_base.errors import EnvironmentFault

NUMBER = re.compile(r"\d+$")
WHOLE = "whole"


class Exporter(Collector):  # type: ignore[misc]  # prometheus_client's base is not typed here
    """Serves ``http://host:port/metrics``. ``run``: the label of everything that it tells."""

    def __init__(self, host: str, port: int, *, run: str) -> None:
        self._run = run
        self._status: Status | None = None
        self._hardware: dict[tuple[str, str], dict[str, float]] = {}
        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise EnvironmentFault(
                f"metrics endpoint {host}:{port} cannot be opened ({error.strerror or error}); "
                "choose another --metrics-port"
            ) from error
        self.port: int = self._server.server_port

    def show(self, sample: NodeSample) -> None:
        """Replace the readings of a machine."""
        for source, readings in sample["metrics"].items():
            self._hardware[sample["node"], source] = readings

    def show_status(self, status: Status) -> None:
        """Replace what is known of the run and its workers."""
        self._status = status

    def collect(self) -> Iterator[Metric]:
        found = Snapshot()
        if (status := self._status) is not None:
            of_run = (self._run, status.scenario or "")
            _run(found, status, of_run)
            for worker in status.workers:
                _worker(found, worker, (*of_run, str(worker.id)))
        for (node, source), readings in list(self._hardware.items()):
            kind = NUMBER.sub("", source)
            for name, value in readings.items():
                found.add(named.of_hardware(kind, name), (self._run, node, source), value)
        yield from found

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _run(found: Snapshot, status: Status, labels: tuple[str, ...]) -> None:
    found.add(named.ISSUED, labels, status.issued)
    found.add(named.EXPECTED, labels, status.expected)
    with_workers = sum(worker.outstanding or 0 for worker in status.workers)
    found.add(named.QUEUED, labels, max(0, status.issued - status.completed - with_workers))
    found.add(named.RETRIES, labels, status.retried)
    for family, limit_ms in ((named.TTFT_LIMIT, status.ttft_limit_ms), (named.TPOT_LIMIT, status.tpot_limit_ms)):
        found.add(family, labels, None if limit_ms is None else limit_ms / 1e3)


def _worker(found: Snapshot, worker: WorkerStatus, labels: tuple[str, ...]) -> None:
    found.add(named.READY, (*labels, worker.node or ""), float(worker.state == "ready"))
    found.add(named.SAMPLES, (*labels, WHOLE), worker.samples)
    found.add(named.GENERATED, labels, worker.tokens)
    found.add(named.PROMPT, labels, worker.prompt_tokens)
    found.add(named.RESTARTS, labels, worker.restarts)
    found.add(named.RUNNING, labels, worker.running)
    found.add(named.WAITING, labels, worker.waiting)
    found.add(named.RESIDENT, labels, worker.rss_bytes)
    of_times: tuple[tuple[named.Family, Histogram | None], ...] = (
        (named.TTFT, worker.ttft),
        (named.TPOT, worker.tpot),
        (named.LATENCY, worker.latency),
    )
    for family, times in of_times:
        if times is not None:
            found.add_histogram(family, labels, times.counts, times.sum_s)
