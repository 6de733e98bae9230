"""A worker's GPU: its name and its place in the machine. Without importing torch."""

from __future__ import annotations

from sut.nvml import Unavailable, handle_of, nvml


def gpu_name(token: str) -> str | None:
    """Marketing name of the GPU that ``token`` (a number, a UUID, a MIG slice) names, or ``None``."""
    try:
        with nvml() as library:
            name = library.nvmlDeviceGetName(handle_of(library, token))
        return name.decode() if isinstance(name, bytes) else str(name)
    except Unavailable:
        return None


def short_name(token: str) -> int | str:
    """A GPU in the record of a run: its number, or the beginning of its UUID, which as a whole would identify it."""
    return int(token) if token.isdecimal() else token[:8]


def pci_address(token: str) -> str | None:
    """A GPU's PCI address as sysfs writes it (``0000:3b:00.0``), or ``None``."""
    try:
        with nvml() as library:
            handle = handle_of(library, token)
            if token.startswith("MIG-"):
                handle = library.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
            bus = library.nvmlDeviceGetPciInfo(handle).busId
    except Unavailable:
        return None
    text = (bus.decode() if isinstance(bus, bytes) else str(bus)).lower()
    return text[-12:]  # NVML writes the PCI domain with eight digits, sysfs with four
