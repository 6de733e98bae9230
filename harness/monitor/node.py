"""One sample of one machine: GPUs, processor, memory, network.

``sample_node()`` returns plain dictionaries, so that an actor on another node can send its answer to whoever
writes.
"""

from __future__ import annotations

import functools
import time
from typing import TypedDict

import psutil

from harness.monitor.gpu import Facts, GpuProbe
from mlperf_llama_base.node import node_name


class NodeSample(TypedDict):
    """``metrics``: source (``gpu0``, ``cpu``, ``mem``, ``net``) to name to value. ``t_s``: Unix time."""

    node: str
    t_s: float
    metrics: dict[str, dict[str, float]]


class NodeProbe:
    """Samples this machine. ``node`` names it in the records; None: :func:`~mlperf_llama_base.node.node_name`."""

    def __init__(self, node: str | None = None) -> None:
        self.node = node or node_name()
        self._gpus = GpuProbe()
        psutil.cpu_percent(percpu=True)  # the first answer has no interval to speak of

    def describe(self) -> dict[str, Facts]:
        """Return what does not change during a run."""
        own: dict[str, Facts] = {
            "cpu": {"cores": psutil.cpu_count(), "physical_cores": psutil.cpu_count(logical=False)},
            "mem": {"total_bytes": psutil.virtual_memory().total},
        }
        return self._gpus.describe() | own

    def sample(self) -> NodeSample:
        """Read everything once. Counters (``*_bytes`` of ``net``, ``energy_j``) grow; the rest are momentary."""
        cores = psutil.cpu_percent(percpu=True)
        memory = psutil.virtual_memory()
        return {
            "node": self.node,
            "t_s": time.time(),
            "metrics": {
                **self._gpus.read(),
                "cpu": {
                    "utilisation_pct": sum(cores) / len(cores),
                    "busiest_core_pct": max(cores),
                    "load_1min": psutil.getloadavg()[0],
                },
                "mem": {"used_bytes": float(memory.total - memory.available), "total_bytes": float(memory.total)},
                "net": _network(),
            },
        }


def _network() -> dict[str, float]:
    """Bytes over every interface but loopback, where the workers of one machine talk to their dispatcher."""
    counters = [c for name, c in psutil.net_io_counters(pernic=True).items() if not name.startswith("lo")]
    return {
        "sent_bytes": float(sum(c.bytes_sent for c in counters)),
        "received_bytes": float(sum(c.bytes_recv for c in counters)),
    }


@functools.cache
def _probe() -> NodeProbe:
    return NodeProbe()


def sample_node(node: str | None = None) -> NodeSample:
    """Sample the machine that this is called on; ``node`` replaces its host name in the record."""
    sample = _probe().sample()
    return sample if node is None else {**sample, "node": node}
