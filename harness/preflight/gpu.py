"""Are the GPUs there, free, and running at their full speed?

Everything here reads NVML through :mod:`harness.inventory.gpu`; without a driver only :class:`GpuPresent` speaks.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import psutil

from harness.inventory.gpu import Gpu
from harness.preflight.base import Check, Context, Finding, combine, fail, passed, skipped, warn

GIB = 2**30
# A KV cache under this leaves too few sequences on a GPU to be worth a benchmark (131,072 bytes a token for 8B in bf16:
# 32 layers x 2 x 8 KV heads x 128 x 2 bytes): 4 GiB hold about 40 samples.
KV_FLOOR = 4 * GIB


class GpuPresent(Check):
    """Driver, CUDA, number of GPUs against workers."""

    name = "gpu"

    def run(self, context: Context) -> Finding:
        inventory, config = context.gpus, context.config
        context.facts["gpu"] = {
            "names": [gpu.name for gpu in inventory.gpus],
            "count": len(inventory.gpus),
            "driver": inventory.driver,
            "cuda": inventory.cuda,
            "memory_bytes": [gpu.memory_total for gpu in inventory.gpus],
        }
        if inventory.misnamed and context.engine.uses_gpu and config.engine.device != "cpu":
            return fail(inventory.misnamed, "")
        if inventory.broken:
            return fail("; ".join(inventory.broken), "reset the GPU or reboot; nvidia-smi and dmesg say more")
        if not inventory.gpus:
            found = f"no NVIDIA GPU: {inventory.problem}"
            if context.wants_cuda:
                return fail(found, "install the driver (nvidia-smi must work), or choose --set engine.device=cpu")
            return passed(f"{found}; the run does not need one")
        kinds = sorted({gpu.name for gpu in inventory.gpus})
        found = f"{len(inventory.gpus)} x {' + '.join(kinds)}, driver {inventory.driver}, CUDA {inventory.cuda}"
        if not context.uses_gpus:
            return passed(f"{found}; the run does not use them")
        need = context.workers * config.workers.tensor_parallel
        if need > len(inventory.gpus):
            return fail(
                f"{found}; {context.workers} workers of {config.workers.tensor_parallel} GPU need {need}",
                "lower --workers or workers.tensor_parallel",
            )
        findings = []
        if need < len(inventory.gpus):
            findings.append(warn(f"{found}; only {need} are used", "raise --workers to use them all"))
        if len(kinds) > 1:
            advice = "workers get what they can do; a submission must describe them all"
            findings.append(warn(f"different GPUs: {', '.join(kinds)}", advice))
        if any(gpu.mig for gpu in inventory.gpus):
            findings.append(warn(f"{found}; MIG is on", "a MIG slice is not the whole GPU: say so, or turn it off"))
        return combine(findings, found)


class GpuCheck(Check):
    """A check that looks at each GPU and does not apply without one."""

    def run(self, context: Context) -> Finding:
        if not context.uses_gpus:
            return skipped("no GPU is used")
        return self.look(context, context.gpus.gpus)

    def look(self, context: Context, gpus: tuple[Gpu, ...]) -> Finding:
        raise NotImplementedError


class GpuMemory(GpuCheck):
    """Free memory against the weights, and against the share that the engine reserves."""

    name = "gpu memory"

    def look(self, context: Context, gpus: tuple[Gpu, ...]) -> Finding:
        weights = weight_bytes(context)
        findings = []
        for gpu in gpus:
            if gpu.memory_free is None or gpu.memory_total is None:
                continue
            free, total = gpu.memory_free, gpu.memory_total
            where = f"GPU {gpu.index}: {free / GIB:.1f} of {total / GIB:.1f} GiB free"
            if weights and free < weights:
                findings.append(
                    fail(
                        f"{where}, the weights need {weights / GIB:.1f}",
                        "end what else is running on it, use a smaller number format, or tensor_parallel",
                    )
                )
            elif weights and free < weights * 1.1 + KV_FLOOR:
                findings.append(
                    warn(
                        f"{where}, little is left for the KV cache beside {weights / GIB:.1f} of weights",
                        "use a smaller number format or tensor_parallel",
                    )
                )
            share = context.engine.gpu_memory_share(context.config.engine.args)
            if share and free < share * total:
                findings.append(
                    fail(
                        f"{where}, the engine asks for {share:.0%} of all of it and will not start",
                        "end what else is running on it, or lower engine.args.gpu_memory_utilization",
                    )
                )
        least = min((gpu.memory_free for gpu in gpus if gpu.memory_free is not None), default=None)
        if least is None:
            return warn("NVML does not report the free memory", "look at nvidia-smi")
        need = f", the weights need {weights / GIB:.1f}" if weights else ""
        return combine(findings, f"{least / GIB:.1f} GiB free on the fullest{need}")


def weight_bytes(context: Context) -> int:
    """Bytes of weights on one GPU. Quantising on loading to 8 bits halves 16-bit weights."""
    if context.model is None or not context.model.weight_bytes:
        return 0
    total = context.model.weight_bytes
    if str(context.config.engine.args.get("quantization", "")).startswith("fp8") and not context.model.quantized:
        total = int(total * 0.55)
    return total // context.config.workers.tensor_parallel


def on_each(gpus: tuple[Gpu, ...], test: Callable[[Gpu], str | None]) -> list[str]:
    """``test`` gives the complaint about a GPU; returns them with the GPU's number."""
    return [f"GPU {gpu.index} {text}" for gpu in gpus if (text := test(gpu))]


class GpuEcc(GpuCheck):
    """Datacenter submissions need ECC on (inference_rules.adoc, "System and framework must be consistent")."""

    name = "gpu ecc"

    def look(self, context: Context, gpus: tuple[Gpu, ...]) -> Finding:
        broken = on_each(gpus, lambda g: f"has {g.ecc_errors} uncorrectable errors" if g.ecc_errors else None)
        if broken:
            return fail("; ".join(broken), "reset the GPU (nvidia-smi --gpu-reset) or replace it")
        off = on_each(gpus, lambda g: "has ECC off" if g.ecc is False else None)
        if off:
            return warn(
                "; ".join(off), "nvidia-smi -e 1 and reboot: datacenter submissions need it", blocks_submission=True
            )
        without = on_each(gpus, lambda g: "has no ECC" if g.ecc is None else None)
        return passed("; ".join(without) if without else "ECC is on, no uncorrectable errors")


class GpuProcesses(GpuCheck):
    """Other processes on the GPU: they take memory and time, and make the number meaningless."""

    name = "gpu processes"

    def look(self, context: Context, gpus: tuple[Gpu, ...]) -> Finding:
        ours = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
        busy = on_each(
            gpus,
            lambda g: (
                f"runs {len(others)} other process(es): pid {', '.join(map(str, others))}"
                if (others := [pid for pid in g.process_ids if pid not in ours])
                else None
            ),
        )
        return warn("; ".join(busy), "end them before a run that counts") if busy else passed("none but ours")


class GpuThrottle(GpuCheck):
    """Clock limits that are in force now, while the GPU idles: heat or power supply."""

    name = "gpu throttling"

    def look(self, context: Context, gpus: tuple[Gpu, ...]) -> Finding:
        slow = on_each(gpus, lambda g: f"is slowed down: {', '.join(g.throttle)}" if g.throttle else None)
        if slow:
            return warn("; ".join(slow), "check cooling and power supply (nvidia-smi -q -d PERFORMANCE)")
        hottest = max((gpu.temperature_c for gpu in gpus if gpu.temperature_c is not None), default=None)
        return passed("none active" + (f", {hottest} °C at most" if hottest is not None else ""))


class GpuPower(GpuCheck):
    """A lowered power limit or application clock stays until somebody raises it."""

    name = "gpu power and clocks"

    def look(self, context: Context, gpus: tuple[Gpu, ...]) -> Finding:
        low = on_each(
            gpus,
            lambda g: (
                f"is limited to {g.power_limit_w:.0f} W of {g.power_default_w:.0f}"
                if g.power_limit_w and g.power_default_w and g.power_limit_w < 0.98 * g.power_default_w
                else None
            ),
        )
        slow = on_each(
            gpus,
            lambda g: (
                f"has its clock set to {g.sm_clock_application_mhz} MHz of {g.sm_clock_max_mhz}"
                if g.sm_clock_application_mhz
                and g.sm_clock_max_mhz
                and g.sm_clock_application_mhz < 0.7 * g.sm_clock_max_mhz
                else None
            ),
        )
        if low or slow:
            return warn("; ".join(low + slow), "nvidia-smi -pl and -rac restore the defaults")
        limits = sorted({gpu.power_limit_w for gpu in gpus if gpu.power_limit_w})
        return passed("limits " + ", ".join(f"{limit:.0f} W" for limit in limits) if limits else "no limit can be read")


class GpuPersistence(GpuCheck):
    """Without persistence the driver unloads between processes: each worker's start is slower, clocks are reset."""

    name = "gpu persistence"

    def look(self, context: Context, gpus: tuple[Gpu, ...]) -> Finding:
        off = on_each(gpus, lambda g: "has persistence mode off" if g.persistence is False else None)
        return warn("; ".join(off), "nvidia-smi -pm 1, or run nvidia-persistenced") if off else passed("on")
