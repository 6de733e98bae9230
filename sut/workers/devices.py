"""Which GPUs there are and which CPUs sit next to them, without importing torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def _nvml() -> Iterator[Any]:
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def visible_gpus() -> list[int]:
    """Indices of the NVIDIA GPUs this process may use, in CUDA's order; empty without a driver."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [int(part) for part in listed.split(",") if part.strip().isdigit()]
    try:
        with _nvml() as nvml:
            return list(range(nvml.nvmlDeviceGetCount()))
    except Exception:  # noqa: BLE001  no library, no driver, no permission: all mean no GPU to use
        return []


def gpu_name(index: int) -> str | None:
    """Marketing name of a GPU, or ``None``."""
    try:
        with _nvml() as nvml:
            name = nvml.nvmlDeviceGetName(nvml.nvmlDeviceGetHandleByIndex(index))
        return name.decode() if isinstance(name, bytes) else str(name)
    except Exception:  # noqa: BLE001  as above
        return None


def near_cpus(gpu: int) -> set[int]:
    """CPUs of the GPU's NUMA node; empty where the machine does not tell or has one node only."""
    try:
        with _nvml() as nvml:
            bus = nvml.nvmlDeviceGetPciInfo(nvml.nvmlDeviceGetHandleByIndex(gpu)).busId
        text = (bus.decode() if isinstance(bus, bytes) else str(bus)).lower()
        address = text[-12:]  # NVML writes the PCI domain with eight digits, sysfs with four
        node = int(Path(f"/sys/bus/pci/devices/{address}/numa_node").read_text())
        if node < 0 or not Path("/sys/devices/system/node/node1").exists():
            return set()
        return parse_cpulist(Path(f"/sys/devices/system/node/node{node}/cpulist").read_text())
    except Exception:  # noqa: BLE001  pinning is an optimisation: whatever is unknown means no pinning
        return set()


def parse_cpulist(text: str) -> set[int]:
    """``"0-3,8"`` to ``{0, 1, 2, 3, 8}``."""
    cpus: set[int] = set()
    for part in text.strip().split(","):
        if part:
            low, _, high = part.partition("-")
            cpus.update(range(int(low), int(high or low) + 1))
    return cpus


def pin_near(gpu: int) -> bool:
    """Bind this process to the GPU's NUMA node. Returns whether it did."""
    cpus = near_cpus(gpu) & os.sched_getaffinity(0)
    if not cpus:
        return False
    os.sched_setaffinity(0, cpus)
    return True
