"""The thread that samples this machine and the run's workers once a second while a run goes on.

It lives in the parent process, away from LoadGen and the dispatcher, and reads the workers' counters from the run's
``status.json``: watching costs the measured process nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from harness.monitor.gpu import Facts
from harness.monitor.node import NodeProbe, NodeSample
from harness.rundir.status import Status, WorkerStatus, read_status
from mlperf_llama_base.errors import EnvironmentFault

if TYPE_CHECKING:
    from harness.monitor.exporter import Exporter
    from harness.monitor.store import MetricsWriter

FLUSH_EVERY_S = 5.0
_RUN_COUNTERS = (
    "issued",
    "completed",
    "tokens",
    "tokens_per_s",
    "samples_per_s",
    "ttft_p99_ms",
    "tpot_p99_ms",
    "retried",
    "restarts",
)
_WORKER_COUNTERS = ("outstanding", "running", "waiting", "samples", "tokens", "tokens_per_s", "restarts", "rss_bytes")
log = logging.getLogger(__name__)

Probe = Callable[[], NodeSample | None]


class Monitor:
    """Samples into ``run_dir/metrics.parquet`` between ``start`` and ``stop``.

    ``probes``: further machines; each returns their sample, or None when it has none now. ``metrics_port``: serve the
    newest readings to Prometheus on ``metrics_host``. ``local``: sample this machine and ``status.json`` too.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        interval_s: float = 1.0,
        probes: Sequence[Probe] = (),
        metrics_port: int | None = None,
        metrics_host: str = "127.0.0.1",
        node: str | None = None,
        local: bool = True,
        stem: str = "metrics",
    ) -> None:
        self._run_dir = run_dir
        self._interval_s = interval_s
        self._stem = stem
        self._probes: list[Probe] = list(probes)
        self._here: str | None = None
        self._facts: dict[str, dict[str, Facts]] = {}
        if local:
            here = NodeProbe(node)
            self._facts[here.node] = here.describe()
            self._here = here.node
            self._probes.insert(0, here.sample)
        self._address = (metrics_host, metrics_port) if metrics_port is not None else None
        self._exporter: Exporter | None = None
        self._writer: MetricsWriter | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="monitor", daemon=True)

    def start(self) -> Monitor:
        """Open the file and the endpoint, and begin. Raises ``EnvironmentFault`` if the port is taken or its
        library is missing.
        """
        if self._address is not None:
            try:
                from harness.monitor.exporter import Exporter
            except ImportError as error:
                raise EnvironmentFault(
                    "--metrics-port needs prometheus_client: pip install 'mlperf-llama[metrics]'"
                ) from error

            self._exporter = Exporter(*self._address, run=self._run_dir.resolve().name)
        from harness.monitor.store import MetricsWriter

        try:
            self._writer = MetricsWriter(self._run_dir, facts=self._facts, stem=self._stem)
            self._sample(self._writer)
            self._writer.flush()  # the first one makes pyarrow import pandas, 0.2 s of a core: now, not during the test
        except OSError as error:  # a full disk ends the record, never the run
            log.warning("metrics are not recorded: %s", error)
        else:
            self._thread.start()
        return self

    def stop(self) -> None:
        """Take a last sample, write the Parquet file and close the endpoint. Safe to call twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._exporter is not None:
            self._exporter.close()
            self._exporter = None

    def __enter__(self) -> Monitor:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _work(self) -> None:
        writer = self._writer
        assert writer is not None
        due = flushed = time.monotonic()
        try:
            while not self._stopping.is_set():
                self._sample(writer)
                if time.monotonic() - flushed >= FLUSH_EVERY_S:
                    writer.flush()
                    flushed = time.monotonic()
                due = max(due + self._interval_s, time.monotonic())
                self._stopping.wait(due - time.monotonic())
            self._sample(writer)
            writer.close()
        except OSError as error:
            log.warning("metrics are no longer recorded: %s", error)

    def _sample(self, writer: MetricsWriter) -> None:
        samples = [sample for probe in self._probes if (sample := probe()) is not None]
        for sample in samples:
            writer.add(sample)
            if self._exporter is not None:
                self._exporter.show(sample)
        status = read_status(self._run_dir) if self._here is not None else None
        if self._here is None or status is None:
            return
        for sample in run_samples(status, self._here):
            writer.add(sample)
        if self._exporter is not None:
            self._exporter.show_status(status)


def run_samples(status: Status, node: str) -> list[NodeSample]:
    """The counters of the run, which is on ``node``, and of its workers, each on its own."""
    at = status.time or time.time()
    metrics: dict[str, dict[str, dict[str, float]]] = {node: {"run": _numbers(status, _RUN_COUNTERS)}}
    for worker in status.workers:
        there = metrics.setdefault(worker.node or node, {})
        there[f"worker{worker.id}"] = _numbers(worker, _WORKER_COUNTERS)
    return [{"node": name, "t_s": at, "metrics": found} for name, found in metrics.items()]


def _numbers(state: Status | WorkerStatus, names: Sequence[str]) -> dict[str, float]:
    return {name: float(value) for name in names if (value := getattr(state, name)) is not None}
