"""CPU, memory and limits of this machine (or of the container that it pretends to be)."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import psutil

from harness.preflight.base import Check, Context, Finding, combine, fail, passed, skipped, warn

GIB = 2**30
CGROUP = Path("/sys/fs/cgroup")
SYSTEM = Path("/sys/devices/system")


def cpu_quota() -> float | None:
    """CPUs that the control group grants (cgroup v2 ``cpu.max``), or None without a limit."""
    try:
        quota, period = (CGROUP / "cpu.max").read_text().split()[:2]
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def memory_available() -> tuple[int, int]:
    """(available, total) bytes: the machine's, or the control group's limit where it is lower."""
    memory = psutil.virtual_memory()
    available, total = memory.available, memory.total
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        if limit < total:
            return min(available, max(0, limit - used)), limit
    except (OSError, ValueError):  # no control group, or "max"
        pass
    return available, total


class Cpu(Check):
    """Cores against workers: each worker needs one for its engine's loop, LoadGen and the harness two more."""

    name = "cpu"

    def run(self, context: Context) -> Finding:
        logical = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        physical = psutil.cpu_count(logical=False) or logical
        quota = cpu_quota()
        usable = min(float(logical), quota) if quota else float(logical)
        context.facts["cpus"] = usable
        found = f"{usable:g} CPUs usable ({physical} cores in the machine)"
        findings = []
        if logical < (os.cpu_count() or logical):
            findings.append(
                warn(
                    f"{found}; the process is bound to {logical} of {os.cpu_count()}",
                    "start it without taskset or a CPU set, unless you mean it",
                )
            )
        if quota and quota < logical:
            findings.append(
                warn(
                    f"{found}; the control group grants {quota:g} of {logical}",
                    "raise the container's CPU limit: throttled threads give bad tail latencies",
                )
            )
        if context.uses_gpus and usable < context.workers + 2:
            findings.append(warn(f"{found} for {context.workers} GPU workers", f"have {context.workers + 2} at least"))
        load = psutil.getloadavg()[0]
        if load > 0.5 * usable and load > 1:
            findings.append(
                warn(f"load average is {load:.1f} on {usable:g} CPUs", "end other work before a run that counts")
            )
        if governors := slow_governors():
            findings.append(warn(f"CPU frequency governor is {governors}", "cpupower frequency-set -g performance"))
        return combine(findings, found)


def slow_governors() -> str:
    """The governors in use other than ``performance``; empty where the kernel does not scale frequencies."""
    names = {path.read_text().strip() for path in SYSTEM.glob("cpu/cpu*/cpufreq/scaling_governor")}
    return ", ".join(sorted(names - {"performance", "schedutil"}))


class Numa(Check):
    """On several NUMA nodes a worker should sit beside its GPU, and a CPU worker on one node."""

    name = "numa"

    def run(self, context: Context) -> Finding:
        nodes = len(list(SYSTEM.glob("node/node[0-9]*"))) or 1
        context.facts["numa_nodes"] = nodes
        if nodes == 1:
            return passed("one node")
        if context.uses_gpus and not context.config.workers.pin_numa:
            return warn(
                f"{nodes} nodes, and workers may run on the cores of any",
                "set workers.pin_numa=true: each is bound to the cores beside its GPU",
            )
        if context.on_cpu and context.workers == 1:
            return warn(
                f"{nodes} nodes and one CPU worker: half of its memory accesses are remote", f"use --workers {nodes}"
            )
        return passed(f"{nodes} nodes")


class Memory(Check):
    """Main memory against what the weights and the data set need."""

    name = "memory"

    def run(self, context: Context) -> Finding:
        available, total = memory_available()
        context.facts["memory_bytes"] = total
        weights = context.model.weight_bytes if context.model else 0
        copies = context.workers if context.on_cpu else 1  # with GPUs the pages of the weight files are shared
        need = weights * copies + 2 * GIB * (context.workers if context.uses_gpus else 1)
        found = f"{available / GIB:.1f} of {total / GIB:.1f} GiB available, about {need / GIB:.1f} needed"
        if context.on_cpu and available < weights * copies:
            return fail(
                f"{found}: {copies} x {weights / GIB:.1f} GiB of weights do not fit",
                "use fewer workers, a smaller number format, or a machine with more memory",
            )
        if available < need:
            return warn(found, "end other programs: a swapping machine gives no meaningful number")
        return passed(found)


class Swap(Check):
    name = "swap"

    def run(self, context: Context) -> Finding:
        swap = psutil.swap_memory()
        if swap.total and swap.used > 0.1 * swap.total and swap.used > GIB:
            return warn(
                f"{swap.used / GIB:.1f} of {swap.total / GIB:.1f} GiB are in use",
                "swapoff -a, swapon -a after freeing memory",
            )
        return passed("none" if not swap.total else f"{swap.used / GIB:.1f} of {swap.total / GIB:.1f} GiB in use")


class OpenFiles(Check):
    """``nofile``: sockets, shards, logs and each engine's pipes. ZeroMQ aborts the process when it runs out."""

    name = "open files"

    def run(self, context: Context) -> Finding:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        need = 256 + 64 * context.workers
        shown = "unlimited" if soft == resource.RLIM_INFINITY else str(soft)
        context.facts["nofile"] = shown
        if soft == resource.RLIM_INFINITY or soft >= 4096:
            return passed(f"soft limit {shown}")
        limit = "" if hard == resource.RLIM_INFINITY or hard >= 65536 else f" (hard limit {hard}: ask root)"
        advice = f"ulimit -n 65536{limit}"
        if soft < need:
            return fail(f"soft limit {soft}, {context.workers} worker(s) need {need}", advice)
        return warn(f"soft limit {soft} is low", advice)


class SharedMemory(Check):
    """``/dev/shm``: NCCL and torch put tensors there between processes. Docker's default of 64 MiB is too small."""

    name = "/dev/shm"
    path = Path("/dev/shm")

    def run(self, context: Context) -> Finding:
        if not context.loads_model:
            return skipped(f"engine {context.config.engine.name} does not use it")
        if not self.path.is_dir():
            return warn(f"{self.path} does not exist", "mount a tmpfs there")
        free = psutil.disk_usage(str(self.path)).free
        found = f"{free / GIB:.2f} GiB free"
        advice = "docker run --shm-size=16g (or --ipc=host), in Kubernetes an emptyDir with medium: Memory"
        if free < 128 * 2**20 and context.config.workers.tensor_parallel > 1:
            return fail(f"{found}, too little for tensor parallelism", advice)
        return warn(found, advice) if free < GIB else passed(found)
