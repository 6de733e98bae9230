"""The GPU probe, against a stand-in for the driver."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest

from harness.monitor.gpu import GpuProbe


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Two GPUs; the second one cannot count energy. Returns how often each slow call was made."""
    calls = {"energy": 0}

    def energy(handle: int) -> int:
        calls["energy"] += 1
        if handle == 1:
            raise pynvml.NVMLError_NotSupported
        return 5_000_000

    answers = {
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda i: i,
        "nvmlDeviceGetName": lambda h: "NVIDIA H100 80GB HBM3",
        "nvmlDeviceGetEnforcedPowerLimit": lambda h: 700_000,
        "nvmlDeviceGetMemoryInfo": lambda h: SimpleNamespace(total=80, used=60 + h),
        "nvmlDeviceGetUtilizationRates": lambda h: SimpleNamespace(gpu=99),
        "nvmlDeviceGetPowerUsage": lambda h: 650_500,
        "nvmlDeviceGetTotalEnergyConsumption": energy,
        "nvmlDeviceGetClockInfo": lambda h, kind: 1980 - kind,
        "nvmlDeviceGetTemperature": lambda h, kind: 61,
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda h: 4,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return calls


def test_reads_what_each_gpu_supports(driver: dict[str, int]) -> None:
    probe = GpuProbe()
    readings = [probe.read() for _ in range(3)][-1]
    assert readings["gpu0"] == {
        "utilisation_pct": 99,
        "memory_used_bytes": 60,
        "power_w": 650.5,
        "energy_j": 5000,
        "sm_clock_mhz": 1980 - pynvml.NVML_CLOCK_SM,
        "memory_clock_mhz": 1980 - pynvml.NVML_CLOCK_MEM,
        "temperature_c": 61,
        "throttle_reasons": 4,
    }
    assert "energy_j" not in readings["gpu1"] and readings["gpu1"]["memory_used_bytes"] == 61
    assert driver["energy"] == 4  # three times the first GPU, once the second
    assert probe.describe()["gpu1"] == {"name": "NVIDIA H100 80GB HBM3", "power_limit_w": 700, "memory_bytes": 80}


def test_only_the_visible_gpus(driver: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert list(GpuProbe().read()) == ["gpu1"]


def test_without_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise pynvml.NVMLError_LibraryNotFound

    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    assert GpuProbe().read() == {}
