"""What a node is, told by the node itself: two that run on one kernel, or on the same processors, show it here."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from harness.rundir.execution import ClusterNode, NodeGpu

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def describe_node(name: str, address: str | None) -> ClusterNode:
    """Describe the machine that this is called on, in under 1 s. ``address``: as the others reach it."""
    from harness.rundir.system import this_system

    system = this_system()
    cpu, gpu, software = system.cpu, system.gpu, system.os
    return ClusterNode(
        name=name,
        address=address,
        machine=machine_id(),
        cpu=cpu.model if cpu else None,
        cores=cpu.cores if cpu else None,
        threads=cpu.threads if cpu else None,
        cpus=sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [],
        cpu_limit=cpu_limit(),
        memory_bytes=system.memory.bytes if system.memory else None,
        gpus=[NodeGpu(name=card.name, memory_bytes=card.memory_bytes) for card in gpu.devices] if gpu else [],
        gpu_driver=gpu.driver if gpu else None,
        cuda=gpu.cuda if gpu else None,
        os=software.name if software else None,
        kernel=software.kernel if software else None,
    )


def machine_id(path: Path = BOOT_ID) -> str | None:
    """Twelve hex digits that only what runs on the same kernel shares; None where the kernel does not say."""
    try:
        return hashlib.sha256(path.read_text().strip().encode()).hexdigest()[:12]
    except OSError:
        return None


def cpu_limit(path: Path = CPU_LIMIT) -> float | None:
    """Processors that the control group may use at a time; None without a limit (or without version 2 of them)."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = path.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    return None
