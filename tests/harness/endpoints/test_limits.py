"""What would stop a run in its middle is found at its start, with the number and the command."""

from __future__ import annotations

import resource
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.endpoints import limits
from harness.endpoints.server import Endpoint, Served
from mlperf_llama_base.errors import EnvironmentFault, RunError


def test_too_few_open_files_name_the_number_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    with pytest.raises(EnvironmentFault, match=r"4,096 streams need 6,144 open files, .* 4,096: ulimit -n 6144"):
        limits.raise_open_files(4096)


def test_the_soft_limit_is_raised_as_far_as_it_must_go(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1_000_000))
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: asked.append(wanted))
    limits.raise_open_files(4096)
    assert asked == [(6144, 1_000_000)]
    limits.raise_open_files(1)
    assert asked[1][0] == 1088
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    limits.raise_open_files(13368)
    assert len(asked) == 2


def test_too_few_ports_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "range").write_text("60000\t60999\n")
    monkeypatch.setattr(limits, "PORTS", tmp_path / "range")
    limits.check_ports(100)
    with pytest.raises(EnvironmentFault, match="need 5,120 ports, the range 60000-60999 has 1,000: sysctl -w"):
        limits.check_ports(4096)


def test_a_port_in_use_is_refused_with_the_way_to_measure_what_runs_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentFault, match=rf"port {port} is in use.*--url http://127.0.0.1:{port}"):
            limits.check_port_is_free("127.0.0.1", port)
        served = Served([], host="127.0.0.1", port=port, log=tmp_path / "log", wait_s=1)
        with pytest.raises(EnvironmentFault, match="is in use"):
            served.start()
    limits.check_port_is_free("127.0.0.1", port)


def test_no_room_for_the_client_s_record(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=64 * 2**20))
    with pytest.raises(EnvironmentFault, match="GiB free; the client's record of 66,840 requests"):
        limits.check_room(tmp_path, 66_840)


def test_a_server_that_does_not_answer_and_one_that_ends(url: str, tmp_path: Path) -> None:
    Endpoint(url).start()
    with pytest.raises(EnvironmentFault, match="/health does not answer"):
        Endpoint("http://127.0.0.1:9").start()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    served = Served(["--no-such-option"], host="127.0.0.1", port=port, log=tmp_path / "log", wait_s=60)
    try:
        with pytest.raises(RunError, match=r"the server exited with status 2: .*no-such-option"):
            served.start()
    finally:
        served.stop()
