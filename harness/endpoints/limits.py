"""What the machine must allow before a night's run: open files, ports, room for the client's record of events.

The client keeps a socket for each stream, the server another; both fail in the middle of a run, not at its start.
"""

from __future__ import annotations

import errno
import resource
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path

from harness.endpoints.client_config import connections
from mlperf_llama_base.errors import EnvironmentFault, UserError

PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
BACKLOG = Path("/proc/sys/net/core/somaxconn")
MIN_BACKLOG = 4096
SPARE_FILES = 1024
EVENT_BYTES = 6_000  # of a request in the client's record: its prompt, its answer and the times, without every chunk
MEMORY = Path("/dev/shm")


def files_needed(concurrency: int) -> int:
    """Open files of the one process that holds all streams, the server: each of the client's holds a share of them."""
    return connections(concurrency) + SPARE_FILES


def raise_open_files(concurrency: int) -> int:
    """Raise the soft limit of open files as far as it must go. Returns the limit in force.

    Raises ``EnvironmentFault`` with the number and the command where the hard limit is below it.
    """
    wanted = files_needed(concurrency)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise EnvironmentFault(
                f"{concurrency:,} streams need {wanted:,} open files, the limit here is {hard:,}: ulimit -n {wanted} "
                "as root (LimitNOFILE= of a service, --ulimit nofile= of a container), or a lower --max-concurrency"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def check_ports(concurrency: int) -> None:
    """Raises ``EnvironmentFault`` where one address has not enough ephemeral ports for the connections."""
    low, high = map(int, PORTS.read_text().split()) if PORTS.is_file() else (32768, 60999)
    wanted = connections(concurrency)
    if high - low + 1 < wanted:
        raise EnvironmentFault(
            f"{concurrency:,} streams need {wanted:,} ports, the range {low}-{high} has {high - low + 1:,}: "
            f"sysctl -w net.ipv4.ip_local_port_range='{high + 1 - wanted - 512} {high}'"
        )


def check_port_is_free(host: str, port: int) -> None:
    """Raises ``EnvironmentFault`` where somebody listens on the port that the server is to have, ``UserError`` where
    the address cannot be had at all."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise UserError(f"--port {port}: cannot listen on {host}:{port} ({error.strerror})") from error
            raise EnvironmentFault(
                f"port {port} is in use on {host}: choose another with --port, or measure what runs there with "
                f"--url http://{host}:{port}"
            ) from error


def remarks(concurrency: int) -> Iterable[str]:
    """What may become a bottleneck, and is no reason to stop."""
    if BACKLOG.is_file() and int(BACKLOG.read_text()) < min(MIN_BACKLOG, concurrency):
        yield f"net.core.somaxconn is {BACKLOG.read_text().strip()}: some connections may be refused at first"


def check_room(directory: Path, most_samples: int) -> None:
    """Raises ``EnvironmentFault`` where the record of the longest point does not fit."""
    for place in (MEMORY, directory):
        if place.is_dir() and (free := shutil.disk_usage(place).free) < EVENT_BYTES * most_samples:
            raise EnvironmentFault(
                f"{place} has {free / 2**30:.1f} GiB free; the client's record of {most_samples:,} requests takes "
                f"about {EVENT_BYTES * most_samples / 2**30:.1f} GiB (in a container: --shm-size)"
            )
