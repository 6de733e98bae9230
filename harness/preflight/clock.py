"""Clocks and ports: what a run needs of the kernel's time and of the network.

LoadGen compares two clocks during the run and logs an error, with which no result can be submitted, when they part by
more than one percent (mlcommons/inference, loadgen/loadgen.cc); several machines also start together by the clock.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from harness.preflight.base import Check, Context, Finding, combine, fail, warn

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
CLOCK_SOURCE = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
STA_UNSYNC, STA_NANO, TIME_ERROR = 0x0040, 0x2000, 5  # linux/timex.h


class _Timex(ctypes.Structure):
    """``struct timex`` of 64-bit Linux, as far as it is read here; the rest is room for the kernel to write in."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    ]


@dataclass(frozen=True)
class ClockState:
    """What the kernel knows of its clock. ``offset_s``: still to be corrected; ``max_error_s``: its own bound."""

    synchronised: bool
    offset_s: float
    max_error_s: float


def read_clock() -> ClockState | None:
    """Ask ``adjtimex``, which needs no privilege for reading. None where there is none (macOS) or it is refused."""
    adjtimex = getattr(ctypes.CDLL(None, use_errno=True), "adjtimex", None)
    if adjtimex is None:
        return None
    state = _Timex()
    code = adjtimex(ctypes.byref(state))
    if code < 0:
        return None
    unit = 1e-9 if state.status & STA_NANO else 1e-6
    return ClockState(code != TIME_ERROR and not state.status & STA_UNSYNC, state.offset * unit, state.maxerror * 1e-6)


class Clock(Check):
    name = "clock"

    def run(self, context: Context) -> Finding:
        state = read_clock()
        context.facts["clock"] = {
            "unix_s": time.time(),
            "synchronised": state.synchronised if state else None,
            "offset_s": state.offset_s if state and state.synchronised else None,
        }
        findings = []
        source = CLOCK_SOURCE.read_text().strip() if CLOCK_SOURCE.is_file() else ""
        if source in ("hpet", "acpi_pm"):
            findings.append(
                warn(
                    f"the kernel's clock source is {source}: reading the time is slow and coarse",
                    "boot with clocksource=tsc tsc=reliable",
                )
            )
        if state is None:
            return combine(findings, f"synchronisation unknown here{f', source {source}' if source else ''}")
        if not state.synchronised:
            many = context.config.cluster.address != "local"
            advice = "start chrony or systemd-timesyncd" + ("" if many else "; a single machine can do without")
            findings.append(warn("the clock is not synchronised", advice))
        elif abs(state.offset_s) > 0.1:
            findings.append(
                warn(
                    f"the clock is {state.offset_s:+.3f} s off and being corrected",
                    "wait until it has settled (chronyc tracking): a step in a run is an error in LoadGen's log",
                )
            )
        return combine(findings, f"synchronised, offset {state.offset_s * 1e3:+.2f} ms, source {source or 'unknown'}")


def ephemeral_range() -> tuple[int, int] | None:
    """The ports that the kernel hands out by itself, or None if unknown."""
    try:
        low, high = EPHEMERAL.read_text().split()
        return int(low), int(high)
    except (OSError, ValueError):
        return None


class Ports(Check):
    """The addresses that the run binds: the workers' hub and, if asked for, the metrics endpoint."""

    name = "ports"

    def run(self, context: Context) -> Finding:
        config = context.config
        findings = []
        host = config.cluster.bind or "127.0.0.1"
        if problem := cannot_bind(host, 0):
            findings.append(
                fail(
                    f"cannot listen on {host}: {problem}",
                    "set cluster.bind to an address of this machine"
                    if config.cluster.bind
                    else "bring the loopback interface up: ip link set lo up",
                )
            )
        port = config.monitor.metrics_port
        if port is not None:
            if problem := cannot_bind(config.monitor.metrics_host, port):
                findings.append(
                    fail(
                        f"cannot listen on {config.monitor.metrics_host}:{port}: {problem}",
                        "choose another monitor.metrics_port",
                    )
                )
            taken = ephemeral_range()
            if taken and taken[0] <= port <= taken[1]:
                findings.append(
                    warn(
                        f"port {port} is in the kernel's own range {taken[0]} to {taken[1]}: any "
                        "connection may hold it",
                        f"choose monitor.metrics_port under {taken[0]}",
                    )
                )
        return combine(findings, f"{host} can be bound" + (f", port {port} is free" if port else ""))


def cannot_bind(host: str, port: int) -> str | None:
    """Why this process cannot listen there, or None if it can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except socket.gaierror as error:
        return str(error.strerror)
    except OSError as error:
        names = {
            errno.EADDRINUSE: "in use",
            errno.EADDRNOTAVAIL: "not an address of this machine",
            errno.EACCES: "ports under 1024 need privileges",
        }
        return names.get(error.errno or 0, error.strerror or str(error))
    return None
