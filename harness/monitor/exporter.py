"""The newest readings for Prometheus. An adapter of its own, since most runs do without."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from harness.monitor.node import NodeSample
from mlperf_llama_base.errors import EnvironmentFault

PREFIX = "mlperf_llama"


class Exporter(Collector):  # type: ignore[misc]  # prometheus_client's base is not typed here
    """Serves ``http://host:port/metrics``; ``mlperf_llama_gpu_power_w{node="n1",source="gpu0"}`` and so on."""

    def __init__(self, host: str, port: int) -> None:
        self._newest: dict[tuple[str, str], dict[str, float]] = {}
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
        """Replace the readings of the sample's sources."""
        for source, readings in sample["metrics"].items():
            self._newest[sample["node"], source] = readings

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families: dict[str, GaugeMetricFamily] = {}
        for (node, source), readings in list(self._newest.items()):
            kind = source.rstrip("0123456789")
            for name, value in readings.items():
                full = f"{PREFIX}_{kind}_{name}"
                family = families.setdefault(
                    full, GaugeMetricFamily(full, f"{name} of {kind}", labels=["node", "source"])
                )
                family.add_metric([node, source], value)
        yield from families.values()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
