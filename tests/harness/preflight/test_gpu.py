"""GPU checks against a fake NVML: each with a GPU that has the fault and one that has not."""

from __future__ import annotations

import os
import sys
import types
from typing import Any

import pytest

from harness.inventory.gpu import GpuInventory, read_gpus
from harness.preflight import gpu as checks
from harness.preflight.base import Check, Context, Status
from harness.preflight.model_files import ModelFolder
from tests.harness.preflight.fakes import GIB, gpu, make, node

FAULTS: list[tuple[type[Check], dict[str, Any], str, str]] = [
    (checks.GpuEcc, {"ecc": False}, "warn", "ECC off"),
    (checks.GpuEcc, {"ecc_errors": 3}, "fail", "3 uncorrectable"),
    (checks.GpuProcesses, {"process_ids": (1,)}, "warn", "pid 1"),
    (checks.GpuThrottle, {"throttle": ("hardware thermal slowdown",)}, "warn", "hardware thermal"),
    (checks.GpuPower, {"power_limit_w": 350.0}, "warn", "350 W of 700"),
    (checks.GpuPower, {"sm_clock_application_mhz": 900}, "warn", "900 MHz of 1980"),
    (checks.GpuPersistence, {"persistence": False}, "warn", "persistence mode off"),
    (checks.GpuMemory, {"memory_free": 10 * GIB}, "fail", "the weights need 15.0"),
    (checks.GpuMemory, {"memory_free": 17 * GIB}, "warn", "little is left"),
    (checks.GpuMemory, {"memory_free": None}, "warn", "does not report"),
]


def context(machine: GpuInventory, **tree: Any) -> Context:
    made = make(machine, **tree)
    made.__dict__["model"] = ModelFolder(path=None, weight_bytes=15 * GIB)  # type: ignore[arg-type]
    return made


@pytest.mark.parametrize(("check", "fault", "status", "text"), FAULTS)
def test_a_fault_is_found_and_a_healthy_gpu_passes(
    check: type[Check], fault: dict[str, Any], status: str, text: str
) -> None:
    finding = check().run(
        context(node(gpu(0), gpu(1, **fault)) if fault.get("memory_free", 0) is not None else node(gpu(0, **fault)))
    )
    assert finding.status == status
    assert text in finding.found
    assert finding.advice
    assert check().run(context(node(gpu(0), gpu(1)))).status is Status.PASS


def test_ecc_off_rules_out_a_submission() -> None:
    assert checks.GpuEcc().run(context(node(gpu(ecc=False)))).blocks_submission


def test_our_own_process_may_be_on_the_gpu() -> None:
    assert checks.GpuProcesses().run(context(node(gpu(process_ids=(os.getpid(),))))).status is Status.PASS


def test_vllm_needs_its_share_free() -> None:
    machine = node(gpu(memory_free=60 * GIB))
    assert checks.GpuMemory().run(context(machine, engine__name="vllm")).status is Status.FAIL
    settings = {"gpu_memory_utilization": 0.7}
    assert checks.GpuMemory().run(context(machine, engine__name="vllm", engine__args=settings)).status is Status.PASS


def test_without_a_driver_only_a_cuda_run_fails() -> None:
    nothing = GpuInventory(problem="NVML: Driver Not Loaded")
    assert checks.GpuPresent().run(make(nothing)).status is Status.PASS
    finding = checks.GpuPresent().run(make(nothing, engine__device="cuda"))
    assert finding.status is Status.FAIL
    assert "Driver Not Loaded" in finding.found


@pytest.mark.parametrize(
    ("machine", "tree", "status"),
    [
        (node(gpu(0)), {"workers__count": 2}, "fail"),
        (node(gpu(0), gpu(1)), {"workers__count": 1}, "warn"),
        (node(gpu(0), gpu(1, name="NVIDIA A100")), {}, "warn"),
        (node(gpu(0, mig=True)), {}, "warn"),
        (GpuInventory(gpus=(gpu(0),), broken=("GPU 1: NVML: GPU is lost",)), {}, "fail"),
        (node(gpu(0), gpu(1)), {}, "pass"),
        (node(gpu(0), gpu(1)), {"workers__tensor_parallel": 2}, "pass"),
        (node(gpu(0)), {"engine__device": "cpu"}, "pass"),
    ],
)
def test_gpus_against_workers(machine: GpuInventory, tree: dict[str, Any], status: str) -> None:
    assert checks.GpuPresent().run(make(machine, **tree)).status == status


class NotSupported(Exception):
    pass


def fake_nvml(monkeypatch: pytest.MonkeyPatch, **functions: Any) -> None:
    """Install a module ``pynvml`` that answers the given queries and refuses all others."""
    module = types.ModuleType("pynvml")
    answers: dict[str, Any] = {
        "NVMLError": NotSupported,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda i: i,
        "nvmlDeviceGetName": lambda h: f"GPU model {h}",
        "nvmlSystemGetDriverVersion": lambda: "580.1",
        "nvmlSystemGetCudaDriverVersion": lambda: 13010,
    }
    for name, value in (answers | functions).items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_what_a_gpu_does_not_answer_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvml(
        monkeypatch,
        nvmlDeviceGetMemoryInfo=lambda h: types.SimpleNamespace(total=80, free=70),
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda h: 0x48,
    )
    found = read_gpus()
    assert (found.driver, found.cuda, found.problem) == ("580.1", "13.1", None)
    first = found.gpus[0]
    assert (first.name, first.memory_free, first.ecc, first.power_limit_w) == ("GPU model 0", 70, None, None)
    assert first.throttle == ("hardware slowdown", "hardware thermal slowdown")


def test_no_library_and_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise NotSupported("Driver Not Loaded")

    fake_nvml(monkeypatch, nvmlInit=refuse)
    assert read_gpus().problem == "NVML: Driver Not Loaded"
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert read_gpus().problem == "package nvidia-ml-py is not installed"


def test_a_lost_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(index: int) -> int:
        if index == 1:
            raise NotSupported("GPU is lost")
        return index

    fake_nvml(monkeypatch, nvmlDeviceGetHandleByIndex=handle)
    found = read_gpus()
    assert len(found.gpus) == 1
    assert found.broken == ("GPU 1: NVML: GPU is lost",)


@pytest.mark.parametrize(
    ("value", "status"), [("0,7", "fail"), ("0,0", "fail"), ("GPU-nonsense", "fail"), ("1", "pass"), ("-1", "pass")]
)
def test_a_variable_that_names_other_gpus(value: str, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run on fewer GPUs than were asked for would be a number for another machine."""
    uuids = ["GPU-11", "GPU-12"]
    fake_nvml(monkeypatch, nvmlDeviceGetUUID=lambda h: uuids[h])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    found = read_gpus()
    assert checks.GpuPresent().run(make(found)).status == status
    assert checks.GpuPresent().run(make(found, engine__device="cpu")).status == "pass"


def broken() -> int:
    raise NotSupported("Unknown Error")


def mismatch() -> None:
    raise OSError("libnvidia-ml.so.1: version mismatch")


@pytest.mark.parametrize("functions", [{"nvmlDeviceGetCount": broken}, {"nvmlInit": mismatch}])
def test_a_driver_that_starts_and_then_fails(functions: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvml(monkeypatch, **functions)
    found = read_gpus()
    assert not found.gpus and found.problem in ("NVML: Unknown Error", "NVML: libnvidia-ml.so.1: version mismatch")
    assert checks.GpuPresent().run(make(found, engine__device="cuda")).status == "fail"
