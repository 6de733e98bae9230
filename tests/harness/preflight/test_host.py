"""Host, storage, clock and ports: each check with a machine on which it complains and one on which it does not."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from harness.preflight import clock, host, storage
from harness.preflight.base import Context, Status
from harness.preflight.model_files import ModelFolder
from harness.workers import worker_spec
from tests.harness.preflight.fakes import GIB, gpu, make, node


def with_weights(size: int, **tree: Any) -> Context:
    context = make(**tree)
    context.__dict__["model"] = ModelFolder(path=Path("model"), weight_bytes=size)
    return context


def quiet(monkeypatch: pytest.MonkeyPatch, *, cpus: int = 8) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cpus)))
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(psutil, "getloadavg", lambda: (0.1, 0.1, 0.1))
    monkeypatch.setattr(host, "cpu_quota", lambda: None)
    monkeypatch.setattr(host, "slow_governors", lambda: "")


def test_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet(monkeypatch)
    assert host.Cpu().run(make()).status is Status.PASS
    crowded = host.Cpu().run(make(node(*(gpu(i) for i in range(8)))))
    assert "8 GPU workers" in crowded.found
    monkeypatch.setattr(host, "slow_governors", lambda: "powersave")
    assert "powersave" in host.Cpu().run(make()).found
    quiet(monkeypatch, cpus=4)
    assert "bound to 4 of 8" in host.Cpu().run(make()).found
    quiet(monkeypatch)
    monkeypatch.setattr(host, "cpu_quota", lambda: 2.0)
    assert "grants 2 of 8" in host.Cpu().run(make()).found
    quiet(monkeypatch)
    monkeypatch.setattr(psutil, "getloadavg", lambda: (7.5, 0.1, 0.1))
    assert "load average is 7.5" in host.Cpu().run(make()).found


def test_cpu_quota_is_the_control_groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host, "CGROUP", tmp_path)
    assert host.cpu_quota() is None
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert host.cpu_quota() is None
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert host.cpu_quota() == 2.5


def test_numa(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host, "SYSTEM", tmp_path)
    assert host.Numa().run(make()).status is Status.PASS
    for name in ("node0", "node1"):
        (tmp_path / "node" / name).mkdir(parents=True)
    assert host.Numa().run(make()).status is Status.WARN
    assert host.Numa().run(make(node(gpu()))).status is Status.PASS
    free = host.Numa().run(make(node(gpu()), workers__pin_numa=False))
    assert (free.status, "set workers.pin_numa=true" in str(free.advice)) == (Status.WARN, True)
    # what it advises is what a worker is then told (tests/sut/workers/test_numa.py: and does)
    for pinned in (True, False):
        spec = worker_spec(make(workers__pin_numa=pinned).config, 0, run_dir=tmp_path)
        assert spec.pin_numa is pinned


def test_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "memory_available", lambda: (20 * GIB, 64 * GIB))
    assert host.Memory().run(with_weights(15 * GIB)).status is Status.PASS
    assert host.Memory().run(with_weights(19 * GIB)).status is Status.WARN
    two = host.Memory().run(with_weights(15 * GIB, workers__count=2))
    assert (two.status, "2 x 15.0 GiB" in two.found) == (Status.FAIL, True)


def test_memory_is_the_control_groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host, "CGROUP", tmp_path)
    assert host.memory_available()[1] == psutil.virtual_memory().total
    (tmp_path / "memory.max").write_text(str(2**20))
    (tmp_path / "memory.current").write_text(str(2**19))
    assert host.memory_available() == (2**19, 2**20)


def test_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(total=8 * GIB, used=4 * GIB))
    assert host.Swap().run(make()).status is Status.WARN
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(total=0, used=0))
    assert host.Swap().run(make()).status is Status.PASS


@pytest.mark.parametrize(("limit", "workers", "status"), [(128, 1, "fail"), (1024, 1, "warn"), (1024, 16, "fail")])
def test_open_files(limit: int, workers: int, status: str) -> None:
    code = f"""
import msgspec, resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))
from harness.preflight.host import OpenFiles
from harness.preflight.base import Context
from harness import config
finding = OpenFiles().run(Context(config.build({{"workers": {{"count": {workers}}}}})))
print(msgspec.json.encode(finding.record()).decode())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    finding = json.loads(done.stdout)
    assert finding["status"] == status
    assert f"limit {limit}" in finding["found"]
    assert "ulimit -n" in finding["advice"]


def test_enough_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (65536, 65536))
    assert host.OpenFiles().run(make()).status is Status.PASS


def test_shared_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(host.SharedMemory, "path", tmp_path)
    monkeypatch.setattr(psutil, "disk_usage", lambda path: SimpleNamespace(free=16 * GIB))
    assert host.SharedMemory().run(make()).status is Status.PASS
    monkeypatch.setattr(psutil, "disk_usage", lambda path: SimpleNamespace(free=64 * 2**20))
    assert host.SharedMemory().run(make()).status is Status.WARN
    assert host.SharedMemory().run(make(workers__tensor_parallel=2)).status is Status.FAIL
    monkeypatch.setattr(host.SharedMemory, "path", tmp_path / "none")
    assert host.SharedMemory().run(make()).status is Status.WARN


def test_output_directory(tmp_path: Path) -> None:
    assert storage.OutputWritable().run(make(output=str(tmp_path / "a" / "b"))).status is Status.PASS
    (tmp_path / "config.yaml").write_text("")
    assert storage.OutputWritable().run(make(output=str(tmp_path))).status is Status.PASS
    (tmp_path / "result.json").write_text("")
    assert "not empty" in storage.OutputWritable().run(make(output=str(tmp_path))).found
    assert storage.OutputWritable().run(make(output=str(tmp_path), overwrite=True)).status is Status.PASS
    assert storage.OutputWritable().run(make(output=str(tmp_path / "config.yaml"))).status is Status.FAIL
    assert storage.OutputWritable().run(make(output="/proc/no-such-directory")).status is Status.FAIL


def test_disk_space(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    context = make(output=str(tmp_path), loadgen__target_qps=100)
    for free, status in ((500 * GIB, "pass"), (400 * 2**20, "warn"), (100 * 2**20, "fail")):
        monkeypatch.setattr(psutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        assert storage.DiskSpace().run(context).status == status
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_files=1000, f_favail=0))
    assert "inodes" in storage.DiskSpace().run(context).found


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (clock.ClockState(synchronised=True, offset_s=0.0002, max_error_s=0.01), "pass"),
        (clock.ClockState(synchronised=True, offset_s=-0.4, max_error_s=0.5), "warn"),
        (clock.ClockState(synchronised=False, offset_s=0.0, max_error_s=16.0), "warn"),
        (None, "pass"),
    ],
)
def test_clock(state: clock.ClockState | None, status: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock, "read_clock", lambda: state)
    monkeypatch.setattr(clock, "CLOCK_SOURCE", tmp_path / "none")
    context = make()
    assert clock.Clock().run(context).status == status
    assert context.facts["clock"]["unix_s"] > 1e9


def test_a_slow_clock_source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(clock, "read_clock", lambda: None)
    monkeypatch.setattr(clock, "CLOCK_SOURCE", tmp_path / "source")
    (tmp_path / "source").write_text("hpet\n")
    assert "hpet" in clock.Clock().run(make()).found


def test_the_kernel_answers() -> None:
    state = clock.read_clock()
    assert state is None or state.max_error_s >= 0


def test_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    assert clock.Ports().run(make()).status is Status.PASS
    assert "not an address" in clock.Ports().run(make(cluster__bind="203.0.113.7")).found
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "in use" in clock.Ports().run(make(monitor__metrics_port=port)).found
        monkeypatch.setattr(clock, "ephemeral_range", lambda: (port + 1, port + 2))
    assert clock.Ports().run(make(monitor__metrics_port=port)).status is Status.PASS
    monkeypatch.setattr(clock, "ephemeral_range", lambda: (port, port))
    finding = clock.Ports().run(make(monitor__metrics_port=port))
    assert (finding.status, "kernel's own range" in finding.found) == (Status.WARN, True)
