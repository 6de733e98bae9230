"""The one way to NVML, and the one reader of CUDA_VISIBLE_DEVICES, after CUDA's rules.

NVML may be missing, refuse to start, or start and fail at the first question (a container that lost its devices); each
is :class:`Unavailable` here, and never anything else. Rules of the variable: CUDA C++ Programming Guide, "CUDA
Environment Variables". Where CUDA silently hides the rest of a list (a number that does not exist, a GPU named twice),
we say so: a run on half of the GPUs is not what anybody asked for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mlperf_llama_base.errors import EnvironmentFault

VARIABLE = "CUDA_VISIBLE_DEVICES"
NOTHING = ("", "NoDevFiles")  # the second is what Slurm and HTCondor write for a job without GPUs


class Unavailable(Exception):
    """NVML cannot be asked; the text says why. ``no_driver``: there is none, hence no NVIDIA GPU to use."""

    def __init__(self, reason: str, *, no_driver: bool = False) -> None:
        super().__init__(reason)
        self.no_driver = no_driver


@dataclass(frozen=True)
class VisibleGpu:
    """A GPU, or a MIG slice of one, that this process may use.

    ``token``: what CUDA_VISIBLE_DEVICES takes for it. ``index``: NVML's; None for a MIG slice and where NVML is silent.
    """

    token: str
    index: int | None


@contextlib.contextmanager
def nvml() -> Iterator[Any]:
    """``pynvml``, started, for a block. Raises ``Unavailable``, also for an error of NVML's that leaves the block."""
    try:
        import pynvml
    except ImportError:
        raise Unavailable("package nvidia-ml-py is not installed") from None
    missing = tuple(
        kind
        for name in ("NVMLError_LibraryNotFound", "NVMLError_DriverNotLoaded")
        if (kind := getattr(pynvml, name, None))
    )
    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError, OSError) as error:
        raise Unavailable(text(error), no_driver=isinstance(error, missing)) from error
    try:
        yield pynvml
    except (pynvml.NVMLError, OSError) as error:
        raise Unavailable(text(error)) from error
    finally:
        with contextlib.suppress(pynvml.NVMLError, OSError):
            pynvml.nvmlShutdown()


def text(error: Exception) -> str:
    """An error of NVML in one line."""
    return f"NVML: {' '.join(str(error).split())}"


def visible_gpus() -> list[VisibleGpu]:
    """The GPUs that this process may use, in CUDA's order; none without a driver.

    Where a driver is there and does not answer, the variable is believed as it stands. Raises ``EnvironmentFault`` for
    a variable that names a GPU twice, or one that does not exist.
    """
    try:
        with nvml() as library:
            return read_variable(library)
    except Unavailable as error:
        return [] if error.no_driver else read_variable(None)


def read_variable(library: Any) -> list[VisibleGpu]:
    """What CUDA_VISIBLE_DEVICES leaves of the GPUs that ``library`` (``pynvml``; None: not to be asked) counts."""
    count = library.nvmlDeviceGetCount() if library else None
    value = os.environ.get(VARIABLE)
    if value is None:
        return [VisibleGpu(str(i), i) for i in range(count or 0)]
    found: list[VisibleGpu] = []
    if value.strip() in NOTHING:
        return found
    uuids = _uuids(library, count or 0) if library and "GPU-" in value else {}
    for part in value.split(","):
        token = part.strip()
        if not token or token.startswith("-"):
            break  # CUDA ends the list here, on purpose: -1 hides the rest
        gpu = _one(token, value, library=library, count=count, uuids=uuids)
        if any(gpu.token == other.token or gpu.index == other.index is not None for other in found):
            raise _wrong(value, f"names GPU {token} twice")
        found.append(gpu)
    return found


def _one(token: str, value: str, *, library: Any, count: int | None, uuids: dict[str, int]) -> VisibleGpu:
    if token.isdecimal() and token.isascii():
        index = int(token)
        if count is not None and index >= count:
            raise _wrong(value, f"names GPU {index}; this machine has {count} (0 to {count - 1})" if count else _NONE)
        return VisibleGpu(str(index), index)
    if token.startswith("GPU-"):
        matches = [i for uuid, i in uuids.items() if uuid.lower().startswith(token.lower())]
        if uuids and len(matches) != 1:
            raise _wrong(value, f"{token} is the beginning of {len(matches)} GPUs' UUIDs, and must be of one")
        return VisibleGpu(token, matches[0] if matches else None)
    if token.startswith("MIG-"):
        if library and _is_unknown(library, token):
            raise _wrong(value, f"names {token}, which is no MIG slice of this machine")
        return VisibleGpu(token, None)
    raise _wrong(value, f"{token!r} is neither a GPU's number nor a UUID (GPU-..., MIG-...)")


_NONE = "names a GPU; this machine has none"


def _wrong(value: str, why: str) -> EnvironmentFault:
    return EnvironmentFault(f"{VARIABLE}={value!r} {why}: correct it, or unset it to use every GPU ('nvidia-smi -L')")


def _is_unknown(library: Any, uuid: str) -> bool:
    try:
        library.nvmlDeviceGetHandleByUUID(uuid.encode())
    except library.NVMLError as error:
        return isinstance(error, getattr(library, "NVMLError_NotFound", ()))
    return False


def _uuids(library: Any, count: int) -> dict[str, int]:
    """NVML's index by UUID; empty where NVML does not report them."""
    try:
        uuids = [library.nvmlDeviceGetUUID(library.nvmlDeviceGetHandleByIndex(i)) for i in range(count)]
    except library.NVMLError:
        return {}
    return {uuid.decode() if isinstance(uuid, bytes) else str(uuid): i for i, uuid in enumerate(uuids)}


def handle_of(library: Any, token: str) -> Any:
    """NVML's handle of the GPU, or MIG slice, that ``token`` names. Raises NVML's errors."""
    if token.isdecimal():
        return library.nvmlDeviceGetHandleByIndex(int(token))
    uuids = _uuids(library, library.nvmlDeviceGetCount()) if token.startswith("GPU-") else {}
    for uuid, index in uuids.items():
        if uuid.lower().startswith(token.lower()):
            return library.nvmlDeviceGetHandleByIndex(index)
    return library.nvmlDeviceGetHandleByUUID(token.encode())
