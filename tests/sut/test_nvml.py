"""CUDA_VISIBLE_DEVICES as schedulers, MIG users and old scripts set it, on four GPUs of a stand-in for NVML."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import pytest

from harness import config
from harness.inventory.gpu import read_gpus
from harness.workers import plan_workers
from mlperf_llama_base.errors import EnvironmentFault
from sut.nvml import VisibleGpu, visible_gpus
from sut.workers.devices import gpu_name, short_name

UUIDS = [
    "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",
    "GPU-0a1b2c3d-0000-1111-2222-333344445555",
    "GPU-0a1b2c3d-9999-1111-2222-333344445555",
    "GPU-77777777-9999-1111-2222-333344445555",
]
MIG = "MIG-377e0049-554c-540b-93c6-d0976f8426cb"


class Refused(Exception):
    pass


class NoDriver(Refused):
    pass


class NotFound(Refused):
    pass


def fail(reason: str, kind: type[Exception] = Refused) -> Any:
    def refuse(*_: Any) -> None:
        raise kind(reason)

    return refuse


@pytest.fixture(autouse=True)
def nvml(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Four GPUs, the first with a MIG slice. Tests replace what they want to fail."""

    def of_uuid(uuid: bytes) -> int:
        if uuid.decode() == MIG:
            return 0
        raise NotFound("Not Found")

    module = types.ModuleType("pynvml")
    answers: dict[str, Any] = {
        "NVMLError": Refused,
        "NVMLError_DriverNotLoaded": NoDriver,
        "NVMLError_NotFound": NotFound,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 4,
        "nvmlDeviceGetHandleByIndex": lambda i: i,
        "nvmlDeviceGetHandleByUUID": of_uuid,
        "nvmlDeviceGetUUID": lambda h: UUIDS[h],
        "nvmlDeviceGetPciInfo": fail("Not Supported"),
        "nvmlDeviceGetName": lambda h: f"GPU number {h}",
        "nvmlSystemGetDriverVersion": lambda: "580.1",
        "nvmlSystemGetCudaDriverVersion": lambda: 13010,
    }
    for name, value in answers.items():
        setattr(module, name, value)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return module


CASES = [
    (None, ["0", "1", "2", "3"], [0, 1, 2, 3]),
    ("", [], []),
    ("NoDevFiles", [], []),
    ("-1", [], []),
    ("2,0", ["2", "0"], [2, 0]),
    (" 1 , 03 ", ["1", "3"], [1, 3]),
    ("0,-1,1", ["0"], [0]),
    ("0,1,", ["0", "1"], [0, 1]),
    (f"{UUIDS[0]},{UUIDS[3]}", [UUIDS[0], UUIDS[3]], [0, 3]),
    ("GPU-89,GPU-0a1b2c3d-9", ["GPU-89", "GPU-0a1b2c3d-9"], [0, 2]),
    (MIG, [MIG], [None]),
]


@pytest.mark.parametrize(("value", "tokens", "indices"), CASES)
def test_both_who_look_see_the_same(
    value: str | None, tokens: list[str], indices: list[int | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == [VisibleGpu(*pair) for pair in zip(tokens, indices, strict=True)]
    assert [gpu.index for gpu in read_gpus().gpus] == [n if i is None else i for n, i in enumerate(indices)]
    specs = plan_workers(config.build({"output": "/tmp/x"}), run_dir=Path("/tmp/x"), endpoint="")
    assert [spec.gpus for spec in specs] == ([[token] for token in tokens] or [[]])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0,7", "names GPU 7; this machine has 4 (0 to 3)"),
        ("0,1,2,3,4,5,6,7", "names GPU 4; this machine has 4"),
        ("0,0", "names GPU 0 twice"),
        (f"0,{UUIDS[0]}", "twice"),
        (f"{MIG},{MIG}", "twice"),
        ("GPU-0a1b2c3d", "is the beginning of 2 GPUs' UUIDs"),
        ("MIG-1234", "names MIG-1234, which is no MIG slice of this machine"),
        ("GPU-1234", "is the beginning of 0 GPUs' UUIDs"),
        ("0,gpu1", "'gpu1' is neither a GPU's number nor a UUID"),
    ],
)
def test_what_cuda_would_hide_in_silence_is_an_error(value: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    with pytest.raises(EnvironmentFault) as caught:
        plan_workers(config.build({"output": "/tmp/x"}), run_dir=Path("/tmp/x"), endpoint="")
    assert text in str(caught.value) and "CUDA_VISIBLE_DEVICES=" in str(caught.value)
    assert text in str(read_gpus().misnamed)
    plan_workers(config.build({"engine": {"name": "null"}, "output": "/tmp/x"}), run_dir=Path("/tmp/x"), endpoint="")


@pytest.mark.parametrize(
    ("broken", "value", "tokens"),
    [
        ({"nvmlInit": fail("Driver Not Loaded", NoDriver)}, "0,1", []),
        ({"nvmlDeviceGetCount": fail("Unknown Error")}, "0,1", ["0", "1"]),
        ({"nvmlInit": fail("version mismatch", OSError)}, "GPU-89", ["GPU-89"]),
        ({"nvmlDeviceGetCount": fail("Unknown Error")}, None, []),
        ({"nvmlDeviceGetUUID": fail("Not Supported")}, UUIDS[0], [UUIDS[0]]),
        ({"nvmlShutdown": fail("Uninitialized")}, "1", ["1"]),
    ],
)
def test_a_driver_that_does_not_answer(
    broken: dict[str, Any],
    value: str | None,
    tokens: list[str],
    nvml: types.ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, function in broken.items():
        monkeypatch.setattr(nvml, name, function)
    if value is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert [gpu.token for gpu in visible_gpus()] == tokens
    assert not read_gpus().broken


def test_names_of_gpus(nvml: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_name("2") == "GPU number 2"
    assert gpu_name("GPU-77") == "GPU number 3"
    assert gpu_name(MIG) == "GPU number 0"
    assert gpu_name("GPU-1") is None
    assert [short_name(gpu) for gpu in ("3", UUIDS[0])] == [3, "GPU-8932"]
    monkeypatch.setattr(nvml, "nvmlDeviceGetName", fail("Unknown Error"))
    assert gpu_name("0") is None
