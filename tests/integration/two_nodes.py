"""Two machines on one: network namespaces joined by a veth pair, each with a node of a real Ray cluster in it.

All that a node runs is found by its namespace, so that it can be killed, stopped or cut off as a machine can.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PYTHON = sys.executable
ROOT = Path(__file__).resolve().parents[2]
PORT = 6399


def sh(*command: str, check: bool = True, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stdout[-2000:]} {done.stderr[-2000:]}")
    return done.stdout


class Node:
    """One namespace. ``name`` is also its device's and, in results, the node's."""

    def __init__(self, name: str, address: str, env: dict[str, str]) -> None:
        self.name = name
        self.address = address
        self.env = os.environ | env | {"MLPERF_LLAMA_NODE": name}

    def popen(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, *command],
            env=self.env,
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def ray_start(self, *arguments: str, cpus: int = 4) -> None:
        sh(
            "ip",
            "netns",
            "exec",
            self.name,
            PYTHON,
            "-m",
            "ray.scripts.scripts",
            "start",
            *arguments,
            "--node-ip-address",
            self.address,
            "--num-cpus",
            str(cpus),
            "--num-gpus",
            "0",
            "--object-store-memory",
            "80000000",
            "--disable-usage-stats",
            env=self.env,
        )

    def pids(self) -> list[int]:
        return [int(pid) for pid in sh("ip", "netns", "pids", self.name, check=False).split()]

    def signal_all(self, number: int) -> None:
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def end_all(self) -> None:
        deadline = time.monotonic() + 20
        while self.pids() and time.monotonic() < deadline:
            self.signal_all(signal.SIGKILL)
            time.sleep(0.1)

    def link(self, state: str) -> None:
        sh("ip", "-n", self.name, "link", "set", f"{self.name}", state)


class TwoNodes:
    """``head`` has Ray's head and the run; ``other`` is the one that meets with accidents."""

    def __init__(self, scratch: Path, *, cpus: int = 4) -> None:
        mark = f"{os.getpid() % 10000:04d}"
        env = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        self.cpus = cpus
        self.scratch = scratch
        self.head = Node(f"mla{mark}", "10.77.1.1", env)
        self.other = Node(f"mlb{mark}", "10.77.1.2", env)

    def up(self) -> None:
        for node in (self.head, self.other):
            sh("ip", "netns", "add", node.name)
        sh("ip", "link", "add", self.head.name, "type", "veth", "peer", "name", self.other.name)
        for node in (self.head, self.other):
            sh("ip", "link", "set", node.name, "netns", node.name)
            sh("ip", "-n", node.name, "addr", "add", f"{node.address}/24", "dev", node.name)
            node.link("up")
            sh("ip", "-n", node.name, "link", "set", "lo", "up")
        self.head.ray_start(
            "--head", "--port", str(PORT), "--include-dashboard=false", "--temp-dir", str(self.scratch), cpus=self.cpus
        )
        self.join()

    @property
    def address(self) -> str:
        return f"{self.head.address}:{PORT}"

    def join(self) -> None:
        """The other node joins (again)."""
        self.other.ray_start("--address", self.address, cpus=self.cpus)

    def mend(self) -> None:
        """After an accident: the other node starts anew, as after a reboot."""
        self.other.end_all()
        self.other.link("up")
        self.join()
        self.until_two_are_alive()

    def until_two_are_alive(self) -> None:
        """Until Ray has noticed both the end of the old node and the new one."""
        code = "\n".join(
            [
                "import logging, ray, time",
                f"ray.init('{self.address}', log_to_driver=False, logging_level=logging.ERROR)",
                "deadline = time.monotonic() + 60",
                "while sum(n['Alive'] for n in ray.nodes()) != 2 and time.monotonic() < deadline: time.sleep(0.2)",
                "assert sum(n['Alive'] for n in ray.nodes()) == 2",
            ]
        )
        sh("ip", "netns", "exec", self.head.name, PYTHON, "-c", code, env=self.head.env)

    def down(self) -> None:
        for node in (self.other, self.head):
            node.end_all()
            sh("ip", "netns", "del", node.name, check=False)

    def strike(self, how: str) -> None:
        if how == "kill":
            self.other.signal_all(signal.SIGKILL)
        elif how == "cut":
            self.other.link("down")
        else:
            self.other.signal_all(signal.SIGSTOP)

    def python(
        self,
        *arguments: str,
        meanwhile: Callable[[], None] = lambda: None,
        limit_s: float = 240,
        allowed: tuple[int, ...] = (0,),
    ) -> str:
        """Run ``python -m ...`` on the head; returns its output. Fails if it does not end well, and by itself."""
        process = self.head.popen(PYTHON, "-m", *arguments)
        try:
            meanwhile()
            output, _ = process.communicate(timeout=limit_s)
        finally:
            process.kill()
        assert process.returncode in allowed, output[-3000:]
        return output


@contextmanager
def two_nodes(scratch: Path, *, cpus: int = 4) -> Iterator[TwoNodes]:
    nodes = TwoNodes(scratch, cpus=cpus)
    try:
        nodes.up()
        yield nodes
    finally:
        nodes.down()
