"""A worker beside its GPU: on a machine of several NUMA nodes its threads stay on the cores next to the GPU, and what
they touch first is the memory next to those (the kernel's own policy), the engine's pinned buffers included.

To be done before the engine starts any thread or process, which inherit it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sut.workers.devices import pci_address

SYSFS = Path("/sys")


def nodes_of(gpus: Sequence[str]) -> list[int]:
    """The NUMA nodes of these GPUs (tokens of CUDA_VISIBLE_DEVICES); empty where the machine has one node, or where
    the kernel does not know of all of them."""
    if len(list((SYSFS / "devices/system/node").glob("node[0-9]*"))) < 2:
        return []
    nodes = set()
    for gpu in gpus:
        address = pci_address(gpu)
        try:
            nodes.add(int((SYSFS / f"bus/pci/devices/{address}/numa_node").read_text()))
        except (OSError, ValueError):
            return []
    return sorted(nodes) if min(nodes, default=-1) >= 0 else []


def cpus_of(nodes: Sequence[int]) -> set[int]:
    """The CPUs of these NUMA nodes."""
    try:
        lists = [(SYSFS / f"devices/system/node/node{node}/cpulist").read_text() for node in nodes]
        return {cpu for text in lists for cpu in parse_cpulist(text)}
    except (OSError, ValueError):
        return set()


def parse_cpulist(text: str) -> set[int]:
    """``"0-3,8"`` to ``{0, 1, 2, 3, 8}``. Raises ``ValueError``."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        if part:
            low, _, high = part.partition("-")
            cpus.update(range(int(low), int(high or low) + 1))
    return cpus


def pin(gpus: Sequence[str]) -> list[int]:
    """Bind this process, and all that it will start, to the cores beside its GPUs. Returns their NUMA nodes.

    Empty, and nothing changed, where there is nothing to choose, or where none of those cores may be used.
    """
    nodes = nodes_of(gpus)
    cpus = cpus_of(nodes) & os.sched_getaffinity(0)
    if not cpus:
        return []
    os.sched_setaffinity(0, cpus)
    return nodes
