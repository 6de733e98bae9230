"""A machine of two NUMA nodes that is not there: sysfs from files, NVML from a stand-in, and the affinity for real."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from sut.workers import numa

ADDRESSES = {0: b"00000000:3B:00.0", 1: b"00000000:AF:00.0", 2: b"00000000:D8:00.0"}
NODES = {"0000:3b:00.0": "0", "0000:af:00.0": "1", "0000:d8:00.0": "-1"}
CPUS = sorted(os.sched_getaffinity(0))

pytestmark = pytest.mark.skipif(len(CPUS) < 2, reason="needs two cores")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """GPU 0 beside our first core, GPU 1 beside our second, GPU 2 nobody knows where."""
    for node, cpus in (("node0", str(CPUS[0])), ("node1", f"{CPUS[1]},{CPUS[1] + 1000}-{CPUS[1] + 1003}")):
        write(tmp_path / "devices/system/node" / node / "cpulist", f"{cpus}\n")
    for address, node in NODES.items():
        write(tmp_path / "bus/pci/devices" / address / "numa_node", f"{node}\n")
    monkeypatch.setattr(numa, "SYSFS", tmp_path)
    monkeypatch.setitem(sys.modules, "pynvml", pynvml())
    yield tmp_path
    os.sched_setaffinity(0, CPUS)


def pynvml() -> types.ModuleType:
    def info(handle: int) -> types.SimpleNamespace:
        if handle not in ADDRESSES:
            raise RuntimeError("Not Found")
        return types.SimpleNamespace(busId=ADDRESSES[handle])

    module = types.ModuleType("pynvml")
    answers = {
        "NVMLError": RuntimeError,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda i: i,
        "nvmlDeviceGetPciInfo": info,
    }
    vars(module).update(answers)
    return module


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("gpu", [0, 1])
def test_a_worker_stays_beside_its_gpu_and_so_does_what_it_starts(gpu: int) -> None:
    assert numa.pin([str(gpu)]) == [gpu]
    assert os.sched_getaffinity(0) == {CPUS[gpu]}
    code = "import os; print(os.sched_getaffinity(0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str({CPUS[gpu]})


def test_gpus_on_two_nodes_have_the_cores_of_both() -> None:
    assert numa.pin(["0", "1"]) == [0, 1]
    assert os.sched_getaffinity(0) == set(CPUS[:2])


@pytest.mark.parametrize("gpus", [["2"], ["0", "2"], ["7"], []])
def test_who_does_not_know_where_it_is_stays_where_it_may_be(gpus: list[str]) -> None:
    assert numa.pin(gpus) == []
    assert os.sched_getaffinity(0) == set(CPUS)


def test_cores_that_we_may_not_use_are_not_taken(machine: Path) -> None:
    """A batch system has given us the other node."""
    write(machine / "devices/system/node/node0/cpulist", f"{CPUS[0] + 1000}\n")
    assert numa.pin(["0"]) == []
    assert os.sched_getaffinity(0) == set(CPUS)


def test_one_node_leaves_nothing_to_choose(machine: Path) -> None:
    (machine / "devices/system/node/node1/cpulist").unlink()
    (machine / "devices/system/node/node1").rmdir()
    assert numa.pin(["0"]) == []


def test_lists_of_cores() -> None:
    assert numa.parse_cpulist("0-3,8\n") == {0, 1, 2, 3, 8}
    assert numa.parse_cpulist("\n") == set()
