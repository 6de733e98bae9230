"""The endpoint that is measured: ``mlperf-llama serve`` as a child, or one that runs already."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from harness.endpoints.limits import check_port_is_free
from mlperf_llama_base import child
from mlperf_llama_base.errors import EnvironmentFault, RunError

HEALTH_S = 5.0
STEP_S = 0.5
STOP_S = 30.0
TAIL = 400


class Endpoint:
    """``url`` without a path. ``log``: of the server that was started here."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def start(self) -> None:
        """Be ready. Raises ``EnvironmentFault`` where nobody answers."""
        if not is_healthy(self.url):
            raise EnvironmentFault(f"{self.url}/health does not answer 200: start the server, or correct --url")

    def check(self) -> None:
        """Raises ``RunError`` where the server has ended."""

    def stop(self) -> None:
        """End what was started here."""


class Served(Endpoint):
    """A server of our own: ``mlperf-llama serve``, on the loopback address unless told otherwise."""

    def __init__(self, arguments: Sequence[str], *, host: str, port: int, log: Path, wait_s: float) -> None:
        super().__init__(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        self.arguments = ["serve", "--host", host, "--port", str(port), *arguments]
        self.host, self.port, self.log, self.wait_s = host, port, log, wait_s
        self.process: child.Child | None = None

    def start(self) -> None:
        if self.process is not None:
            self.check()
            return
        check_port_is_free(self.host, self.port)
        self.process = child.start("harness.cli.as_child", *self.arguments, log=self.log)
        deadline = time.monotonic() + self.wait_s
        while not is_healthy(self.url):
            self.check()
            if time.monotonic() > deadline:
                raise EnvironmentFault(f"the server is not ready after {self.wait_s:.0f} s: look at {self.log}")
            time.sleep(STEP_S)

    def check(self) -> None:
        if self.process is not None and (code := self.process.poll()) is not None:
            raise RunError(f"the server {child.exit_in_words(code)}: {self._last_line()} ({self.log})")

    def _last_line(self) -> str:
        text = self.log.read_text(errors="replace")[-TAIL:].strip() if self.log.is_file() else ""
        return " ".join((text.splitlines() or ["it said nothing"])[-1].split())

    def stop(self) -> None:
        if self.process is not None:
            child.end(self.process, grace_s=STOP_S)
            self.process = None


def is_healthy(url: str) -> bool:
    """Whether ``/health`` answers 200."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=HEALTH_S) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError):
        return False
