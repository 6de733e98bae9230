"""What NVML says of the GPUs, as plain values, for the pre-flight and the system description.

Every query is optional: a field that this GPU, driver or container does not answer is None. Serial numbers and UUIDs
are never read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from mlperf_llama_base.errors import EnvironmentFault
from sut.nvml import Unavailable, handle_of, nvml, read_variable, text

T = TypeVar("T")

# NVML's clock event reasons (nvml.h, nvmlClocksEventReasons) that take speed away from a benchmark.
THROTTLE_REASONS = {
    0x0000000000000004: "software power cap",
    0x0000000000000008: "hardware slowdown",
    0x0000000000000020: "software thermal slowdown",
    0x0000000000000040: "hardware thermal slowdown",
    0x0000000000000080: "hardware power brake",
}


UNNAMED = "GPU that NVML does not describe"


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU. Memory in bytes, power in watts, clocks in MHz, temperature in °C."""

    index: int
    name: str
    memory_total: int | None = None
    memory_free: int | None = None
    ecc: bool | None = None
    ecc_errors: int | None = None
    persistence: bool | None = None
    power_limit_w: float | None = None
    power_default_w: float | None = None
    sm_clock_mhz: int | None = None
    sm_clock_max_mhz: int | None = None
    sm_clock_application_mhz: int | None = None
    temperature_c: int | None = None
    throttle: tuple[str, ...] = ()
    process_ids: tuple[int, ...] = ()
    mig: bool | None = None
    numa_node: int | None = None
    compute_capability: str | None = None
    pcie: str | None = None
    nvlinks: int = 0


@dataclass(frozen=True, kw_only=True)
class GpuInventory:
    """The GPUs that this process may use. ``problem``: why there are none, in NVML's words; None if NVML answered.

    ``broken``: GPUs that do not answer. ``misnamed``: CUDA_VISIBLE_DEVICES names what is not there.
    """

    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    cuda: str | None = None
    problem: str | None = None
    broken: tuple[str, ...] = ()
    misnamed: str | None = None


def read_gpus() -> GpuInventory:
    """Ask NVML. Never raises: without library, driver or GPU the inventory is empty and says why."""
    try:
        with nvml() as library:
            return _inventory(library)
    except Unavailable as error:
        return GpuInventory(problem=str(error))


def _inventory(library: Any) -> GpuInventory:
    driver = _ask(library, lambda: library.nvmlSystemGetDriverVersion())
    version = _ask(library, lambda: library.nvmlSystemGetCudaDriverVersion())
    cuda = f"{version // 1000}.{version % 1000 // 10}" if version else None
    nothing = GpuInventory(driver=driver, cuda=cuda)
    count = library.nvmlDeviceGetCount()
    if not count:
        return replace(nothing, problem="the driver is loaded, but it has no GPU")
    try:
        visible = read_variable(library)
    except EnvironmentFault as error:
        return replace(nothing, problem=str(error), misnamed=str(error))
    gpus: list[Gpu] = []
    broken: list[str] = []
    for number, one in enumerate(visible):
        index = number if one.index is None else one.index
        try:
            gpus.append(_read(library, index, handle_of(library, one.token)))
        except library.NVMLError as error:
            if one.index is None:  # NVML cannot find it by its UUID; CUDA may
                gpus.append(Gpu(index=index, name=UNNAMED))
            else:
                broken.append(f"GPU {index}: {text(error)}")
    problem = None if visible else "CUDA_VISIBLE_DEVICES hides every GPU"
    return replace(nothing, gpus=tuple(gpus), broken=tuple(broken), problem=problem)


def _ask(nvml: Any, query: Callable[[], T]) -> T | None:
    try:
        return query()
    except (nvml.NVMLError, AttributeError):  # not supported by this GPU, driver or release of the bindings
        return None


def _read(nvml: Any, index: int, handle: Any) -> Gpu:
    memory = _ask(nvml, lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    ecc = _ask(nvml, lambda: nvml.nvmlDeviceGetEccMode(handle))
    reasons = _ask(nvml, lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)) or 0
    persistence = _ask(nvml, lambda: nvml.nvmlDeviceGetPersistenceMode(handle))
    limit = _ask(nvml, lambda: nvml.nvmlDeviceGetPowerManagementLimit(handle))
    default = _ask(nvml, lambda: nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle))
    capability = _ask(nvml, lambda: nvml.nvmlDeviceGetCudaComputeCapability(handle))
    mig = _ask(nvml, lambda: nvml.nvmlDeviceGetMigMode(handle))
    processes = _ask(nvml, lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)) or []
    generation = _ask(nvml, lambda: nvml.nvmlDeviceGetMaxPcieLinkGeneration(handle))
    width = _ask(nvml, lambda: nvml.nvmlDeviceGetMaxPcieLinkWidth(handle))
    return Gpu(
        index=index,
        name=str(nvml.nvmlDeviceGetName(handle)),
        memory_total=memory.total if memory else None,
        memory_free=memory.free if memory else None,
        ecc=bool(ecc[0]) if ecc else None,
        ecc_errors=_ask(nvml, lambda: _ecc_errors(nvml, handle)),
        persistence=None if persistence is None else bool(persistence),
        power_limit_w=limit / 1000 if limit is not None else None,
        power_default_w=default / 1000 if default is not None else None,
        sm_clock_mhz=_ask(nvml, lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
        sm_clock_max_mhz=_ask(nvml, lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)),
        sm_clock_application_mhz=_ask(nvml, lambda: nvml.nvmlDeviceGetApplicationsClock(handle, nvml.NVML_CLOCK_SM)),
        temperature_c=_ask(nvml, lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        throttle=tuple(text for bit, text in THROTTLE_REASONS.items() if reasons & bit),
        process_ids=tuple(sorted(p.pid for p in processes)),
        mig=bool(mig[0]) if mig else None,
        numa_node=_ask(nvml, lambda: nvml.nvmlDeviceGetNumaNodeId(handle)),
        compute_capability=f"{capability[0]}.{capability[1]}" if capability else None,
        pcie=f"PCIe Gen{generation} x{width}" if generation and width else None,
        nvlinks=_nvlinks(nvml, handle),
    )


def _ecc_errors(nvml: Any, handle: Any) -> int:
    kind, since = nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
    return int(nvml.nvmlDeviceGetTotalEccErrors(handle, kind, since))


def _nvlinks(nvml: Any, handle: Any) -> int:
    active = 0
    for link in range(getattr(nvml, "NVML_NVLINK_MAX_LINKS", 18)):
        state = _ask(nvml, lambda link=link: nvml.nvmlDeviceGetNvLinkState(handle, link))  # type: ignore[misc]
        if state is None:
            break
        active += int(state == nvml.NVML_FEATURE_ENABLED)
    return active
