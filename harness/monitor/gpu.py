"""Readings of NVIDIA GPUs through NVML. Without a driver there are simply no GPUs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pynvml

from mlperf_llama_base.errors import EnvironmentFault
from sut.nvml import Unavailable, handle_of, nvml, read_variable

Readings = dict[str, float]
Facts = dict[str, str | float | None]  # what does not change; null: not told


class GpuProbe:
    """The GPUs of this machine; those that ``CUDA_VISIBLE_DEVICES`` leaves."""

    def __init__(self) -> None:
        self._handles: dict[int, Any] = {}
        self._missing: set[tuple[int, str]] = set()
        self._open = contextlib.ExitStack()  # NVML stays started: the handles are valid only while it is
        with contextlib.suppress(Unavailable, EnvironmentFault, pynvml.NVMLError, OSError):
            library = self._open.enter_context(nvml())
            for number, gpu in enumerate(read_variable(library)):
                index = number if gpu.index is None else gpu.index
                self._handles[index] = handle_of(library, gpu.token)

    def describe(self) -> dict[str, Facts]:
        """Return what does not change, by source: ``{"gpu0": {"name", "power_limit_w", "memory_bytes"}}``."""
        return {
            f"gpu{i}": {name: _try(read, handle) for name, read in _FACTS.items()}
            for i, handle in self._handles.items()
        }

    def read(self) -> dict[str, Readings]:
        """Return the readings by source. What a GPU does not support is left out."""
        return {f"gpu{i}": self._read_one(i, handle) for i, handle in self._handles.items()}

    def _read_one(self, index: int, handle: Any) -> Readings:
        readings: Readings = {}
        for name, read in _READERS.items():
            if (index, name) in self._missing:
                continue
            try:
                readings[name] = float(read(handle))
            except (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound):
                self._missing.add((index, name))  # never asked again: some of these calls are slow to refuse
            except pynvml.NVMLError:
                continue  # this once: a busy driver answers at the next sample
        return readings


_FACTS: dict[str, Callable[[Any], Any]] = {
    "name": lambda h: _text(pynvml.nvmlDeviceGetName(h)),
    "power_limit_w": lambda h: pynvml.nvmlDeviceGetEnforcedPowerLimit(h) / 1000,
    "memory_bytes": lambda h: int(pynvml.nvmlDeviceGetMemoryInfo(h).total),
}
_READERS: dict[str, Callable[[Any], float]] = {
    "utilisation_pct": lambda h: pynvml.nvmlDeviceGetUtilizationRates(h).gpu,
    "memory_used_bytes": lambda h: int(pynvml.nvmlDeviceGetMemoryInfo(h).used),
    "power_w": lambda h: pynvml.nvmlDeviceGetPowerUsage(h) / 1000,
    "energy_j": lambda h: pynvml.nvmlDeviceGetTotalEnergyConsumption(h) / 1000,
    "sm_clock_mhz": lambda h: pynvml.nvmlDeviceGetClockInfo(h, pynvml.NVML_CLOCK_SM),
    "memory_clock_mhz": lambda h: pynvml.nvmlDeviceGetClockInfo(h, pynvml.NVML_CLOCK_MEM),
    "temperature_c": lambda h: pynvml.nvmlDeviceGetTemperature(h, pynvml.NVML_TEMPERATURE_GPU),
    "throttle_reasons": lambda h: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(h),
}


def _try(read: Callable[[Any], Any], handle: Any) -> Any:
    try:
        return read(handle)
    except pynvml.NVMLError:
        return None


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
