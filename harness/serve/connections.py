"""The listening socket, and connections that never come to a request."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import time
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from harness.serve.settings import USUAL_STREAMS
from mlperf_llama_base.errors import EnvironmentFault, UserError, remedy

BACKLOG = USUAL_STREAMS
KEEP_ALIVE_S = 90.0  # longer than any client's: who closes first must not be us, while a request is on its way
HEADER_S = 60.0  # a connection that was opened in advance may be idle for so long before its first request
SOMAXCONN = Path("/proc/sys/net/core/somaxconn")


def short_of_what_is_no_http(record: logging.LogRecord) -> bool:
    """A filter of aiohttp's log: what a client sends wrongly is a line there, not a traceback for each time."""
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if isinstance(error, HttpProcessingError):
        record.exc_info = None
        record.msg, record.args = f"{record.getMessage()}: {' '.join(error.message.split())[:200]}", ()
    return True


class Connections:
    """Opens the port. ``sweep`` closes what opened a connection and did not finish the head of a first request; later
    idle times are aiohttp's affair."""

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner
        logging.getLogger("aiohttp.server").addFilter(short_of_what_is_no_http)
        self._new: dict[Any, float] = {}
        self._listener: asyncio.Server | None = None
        self.port = 0

    async def listen(self, host: str, port: int) -> None:
        """Raises ``UserError`` or ``EnvironmentFault`` where the address cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(self._connected, host, port, backlog=BACKLOG)
        except OSError as error:
            raise _explain(error, host, port) from error
        self.port = self._listener.sockets[0].getsockname()[1]

    def _connected(self) -> Any:
        assert self._runner.server is not None
        protocol = self._runner.server()
        self._new[protocol] = time.monotonic()
        return protocol

    def has_asked(self, request: web.Request) -> None:
        """A request of this connection is complete as far as its head."""
        self._new.pop(request.protocol, None)

    def sweep(self) -> None:
        now = time.monotonic()
        for protocol, since in list(self._new.items()):
            if now - since > HEADER_S:
                del self._new[protocol]
                if protocol.transport is not None:
                    protocol.transport.abort()

    def close(self) -> None:
        """Take no more connections; those that are open stay."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None


def _explain(error: OSError, host: str, port: int) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return EnvironmentFault(f"port {port} of {host} is in use: end what listens there, or choose another --port")
    if error.errno == errno.EACCES:
        return EnvironmentFault(f"port {port} of {host} may not be opened: choose a --port above 1023")
    if error.errno == errno.EADDRNOTAVAIL or not error.errno or error.errno < 0:
        return UserError(f"--host {host} is no address of this machine: use 127.0.0.1, or 0.0.0.0 for all")
    return EnvironmentFault(f"port {port} of {host} cannot be opened ({error.strerror or error}): {remedy(error)}")


def backlog_allowed() -> int:
    """Connections that the kernel keeps while we are busy."""
    with contextlib.suppress(OSError, ValueError):
        return min(BACKLOG, int(SOMAXCONN.read_text()))
    return BACKLOG
