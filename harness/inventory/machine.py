"""What a machine is, as types: what ``harness.inventory.system`` collects, system.json and result.json hold, and the
system description of a submission is drafted from. Whatever could not be found out is None.
"""

from __future__ import annotations

import msgspec


class Cpu(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``cores``: physical ones of all sockets. ``caches``: size of each of the first CPU, as ``{"L1d": "32K"}``."""

    model: str | None = None
    architecture: str | None = None
    sockets: int | None = None
    cores: int | None = None
    threads: int | None = None
    max_mhz: float | None = None
    caches: dict[str, str] = {}
    numa_nodes: int | None = None


class Memory(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``configuration``: the modules, as ``8 x 64 GB DDR5 4800 MT/s``."""

    bytes: int | None = None
    configuration: str | None = None


class Disk(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``type``: NVMe, SSD, HDD, or virtual."""

    type: str
    bytes: int
    model: str | None = None


class NetworkCard(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A physical one, without name or address. ``type``: Ethernet or InfiniBand. ``mbit_s``: None if it is down."""

    type: str
    mbit_s: int | None = None
    driver: str | None = None


class OperatingSystem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``name`` of the distribution and release of the ``kernel``."""

    name: str | None = None
    kernel: str | None = None


class GpuCard(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What does not change about a GPU."""

    name: str
    memory_bytes: int | None = None
    power_limit_w: float | None = None
    max_sm_clock_mhz: int | None = None
    ecc: bool | None = None
    pcie: str | None = None
    compute_capability: str | None = None


class Gpus(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All GPUs of the machine that may be used, with the driver's and CUDA's version."""

    count: int | None = None
    driver: str | None = None
    cuda: str | None = None
    interconnect: str | None = None
    devices: list[GpuCard] = []


class Hardware(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The parts of a machine; a part that was not recorded is None."""

    cpu: Cpu | None = None
    memory: Memory | None = None
    storage: list[Disk] | None = None
    network: list[NetworkCard] | None = None
    os: OperatingSystem | None = None
    gpu: Gpus | None = None


class Machine(Hardware, kw_only=True, omit_defaults=False):
    """The parts and what is installed. ``software``: versions by name. ``git_revision``: of this program."""

    software: dict[str, str | None] = {}
    git_revision: str | None = None

    @property
    def hardware(self) -> Hardware:
        """The parts alone."""
        return Hardware(**{name: getattr(self, name) for name in Hardware.__struct_fields__})
