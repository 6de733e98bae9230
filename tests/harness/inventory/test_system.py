"""The description of the machine: what is found, what is left out, and that nothing in it identifies anybody."""

from __future__ import annotations

import getpass
import re
import socket
from pathlib import Path

import msgspec
import psutil
import pytest

from harness.inventory import system
from harness.inventory.gpu import Gpu, GpuInventory

DMIDECODE = """
Handle 0x1100, DMI type 17, 92 bytes
Memory Device
\tSize: 64 GB
\tType: DDR5
\tSpeed: 5600 MT/s
\tSerial Number: SECRET
\tConfigured Memory Speed: 4800 MT/s

Handle 0x1101, DMI type 17, 92 bytes
Memory Device
\tSize: 64 GB
\tType: DDR5
\tSpeed: 5600 MT/s
\tConfigured Memory Speed: 4800 MT/s

Handle 0x1102, DMI type 17, 92 bytes
Memory Device
\tSize: No Module Installed
\tType: Unknown
"""


def test_this_machine() -> None:
    found = system.collect()
    assert found.cpu and found.cpu.threads == psutil.cpu_count()
    assert found.memory and found.memory.bytes == psutil.virtual_memory().total
    assert found.software["mlcommons-loadgen"]
    assert found.os and found.os.kernel


def test_nothing_secret_is_in_it() -> None:
    text = msgspec.json.encode(system.collect()).decode()
    addresses = [a for cards in psutil.net_if_addrs().values() for a in cards]
    secrets = {socket.gethostname(), str(Path.home()), *(a.address for a in addresses)} - {"localhost", "/", ""}
    assert not [secret for secret in secrets if len(secret) > 3 and secret in text]
    assert not re.search(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", text, re.IGNORECASE)
    user = getpass.getuser()
    assert not re.search(rf"\b{re.escape(user)}\b", text)


def test_memory_modules_are_counted() -> None:
    assert system.memory_configuration(DMIDECODE) == "2 x 64 GB DDR5 4800 MT/s"
    assert system.memory_configuration("") is None


def test_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "BLOCK", tmp_path)
    for name, size, rotating in (
        ("nvme0n1", "1000", "0"),
        ("sda", "2000", "1"),
        ("sdb", "10", "0"),
        ("vda", "9", "1"),
        ("loop0", "5", "0"),
        ("sr0", "5", "1"),
        ("sdc", "0", "0"),
    ):
        (tmp_path / name / "queue").mkdir(parents=True)
        (tmp_path / name / "size").write_text(size)
        (tmp_path / name / "queue" / "rotational").write_text(rotating)
    found = system.storage()
    assert [(d.type, d.bytes) for d in found] == [
        ("NVMe", 512000),
        ("HDD", 1024000),
        ("SSD", 5120),
        ("virtual", 4608),
    ]


def test_network_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "NET", tmp_path)
    for name, kind, speed in (("eth0", "1", "100000"), ("ib0", "32", "400000"), ("eth1", "1", "-1")):
        (tmp_path / name / "device").mkdir(parents=True)
        (tmp_path / name / "type").write_text(kind)
        (tmp_path / name / "speed").write_text(speed)
    (tmp_path / "lo").mkdir()
    assert [(c.type, c.mbit_s) for c in system.network()] == [
        ("Ethernet", 100000),
        ("Ethernet", None),
        ("InfiniBand", 400000),
    ]


def test_gpus() -> None:
    one = Gpu(index=0, name="NVIDIA H100", memory_total=80, nvlinks=18, pcie="PCIe Gen5 x16")
    found = system.gpu(GpuInventory(gpus=(one,), driver="580.1", cuda="13.0"))
    assert (found.count, found.interconnect, found.devices[0].name) == (
        1,
        "NVLink (18 links)",
        "NVIDIA H100",
    )
    assert system.gpu(GpuInventory(problem="none")).interconnect is None


def test_outside_a_checkout_there_is_no_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "ROOT", tmp_path)
    assert system.git_revision() is None


def test_a_missing_program_is_no_error() -> None:
    assert system._run("no-such-program-anywhere") == ""
