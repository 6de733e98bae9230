"""A worker's GPU: its name, and the CPUs that sit next to it. Without importing torch."""

from __future__ import annotations

import os
from pathlib import Path

from sut.nvml import Unavailable, handle_of, nvml


def gpu_name(token: str) -> str | None:
    """Marketing name of the GPU that ``token`` (a number, a UUID, a MIG slice) names, or ``None``."""
    try:
        with nvml() as library:
            name = library.nvmlDeviceGetName(handle_of(library, token))
        return name.decode() if isinstance(name, bytes) else str(name)
    except Unavailable:
        return None


def short_name(token: str) -> int | str:
    """A GPU in the record of a run: its number, or the beginning of its UUID, which as a whole would identify it."""
    return int(token) if token.isdecimal() else token[:8]


def near_cpus(token: str) -> set[int]:
    """CPUs of the GPU's NUMA node; empty where the machine does not tell or has one node only."""
    try:
        with nvml() as library:
            bus = library.nvmlDeviceGetPciInfo(handle_of(library, token)).busId
        text = (bus.decode() if isinstance(bus, bytes) else str(bus)).lower()
        address = text[-12:]  # NVML writes the PCI domain with eight digits, sysfs with four
        node = int(Path(f"/sys/bus/pci/devices/{address}/numa_node").read_text())
        if node < 0 or not Path("/sys/devices/system/node/node1").exists():
            return set()
        return parse_cpulist(Path(f"/sys/devices/system/node/node{node}/cpulist").read_text())
    except (Unavailable, OSError, ValueError):  # pinning is an optimisation: whatever is unknown means no pinning
        return set()


def parse_cpulist(text: str) -> set[int]:
    """``"0-3,8"`` to ``{0, 1, 2, 3, 8}``."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        if part:
            low, _, high = part.partition("-")
            cpus.update(range(int(low), int(high or low) + 1))
    return cpus


def pin_near(token: str) -> bool:
    """Bind this process to the GPU's NUMA node. Returns whether it did."""
    cpus = near_cpus(token) & os.sched_getaffinity(0)
    if not cpus:
        return False
    os.sched_setaffinity(0, cpus)
    return True
