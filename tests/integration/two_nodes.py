"""Two machines on one: network namespaces joined by a veth pair, each with a node of a real Ray cluster in it.

All that a node runs is found by its namespace, so that it can be killed, stopped or cut off as a machine can.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PYTHON = sys.executable
ROOT = Path(__file__).resolve().parents[2]
PORT = 6399


def sh(*command: str, check: bool = True, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stdout[-2000:]} {done.stderr[-2000:]}")
    return done.stdout


class Node:
    """One namespace. ``name`` is also its device's and, in results, the node's, unless that is ``called`` otherwise."""

    def __init__(self, name: str, address: str, env: dict[str, str], called: str | None = None) -> None:
        self.name = name
        self.called = called or name
        self.address = address
        self.env = os.environ | env | {"MLPERF_LLAMA_NODE": self.called}

    def popen(self, *command: str, shown: bool = False) -> subprocess.Popen[str]:
        """``shown``: what it says goes where ours goes, and is not kept."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, *command],
            env=self.env,
            cwd=ROOT,
            text=True,
            stdout=None if shown else subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def ray_start(self, *arguments: str, cpus: int = 4, inside: Sequence[str] = ()) -> None:
        """``inside``: a command that runs what is put behind it."""
        sh(
            "ip",
            "netns",
            "exec",
            self.name,
            *inside,
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

    def commands(self, part: str) -> list[str]:
        """The command lines and environments of what runs here and has ``part`` in its command line."""
        found = []
        for pid in self.pids_of(part):
            with contextlib.suppress(OSError):
                texts = [Path(f"/proc/{pid}/{name}").read_text() for name in ("cmdline", "environ")]
                found.append("".join(texts).replace("\0", " "))
        return found

    def pids_of(self, part: str) -> list[int]:
        """Of the processes that have ``part`` in their command line."""
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                if part in Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "):
                    found.append(pid)
        return found

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

    def __init__(
        self,
        scratch: Path,
        *,
        cpus: int = 4,
        called: tuple[str | None, str | None] = (None, None),
        env_of_other: Mapping[str, str] | None = None,
    ) -> None:
        mark = f"{os.getpid() % 10000:04d}"
        env = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "OMP_NUM_THREADS": "1",
            "RAY_worker_niceness": "0",  # 15 by itself: beside anything else on the machine the workers would starve
            "PYTHONPATH": str(ROOT),
        }
        self.cpus = cpus
        self.scratch = scratch
        self.head = Node(f"mla{mark}", "10.77.1.1", env, called[0])
        self.other = Node(f"mlb{mark}", "10.77.1.2", env | dict(env_of_other or {}), called[1])

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

    def mend_with_mount(self, source: Path, target: Path) -> None:
        """The other node starts anew with the folder ``source`` where all others see ``target``."""
        self.other.end_all()
        mount = f'mount --bind {shlex.quote(str(source))} {shlex.quote(str(target))} && exec "$@"'
        inside = ("unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh")
        self.other.ray_start("--address", self.address, cpus=self.cpus, inside=inside)
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
def two_nodes(scratch: Path, **how: Any) -> Iterator[TwoNodes]:
    """``how``: see :class:`TwoNodes`."""
    nodes = TwoNodes(scratch, **how)
    try:
        nodes.up()
        yield nodes
    finally:
        nodes.down()
