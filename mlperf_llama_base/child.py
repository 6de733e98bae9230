"""The process that does the measuring, seen from the command that started it: it can be ended at any moment, and never
outlives the command."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlperf_llama_base.errors import RunError
from mlperf_llama_base.source import python_path

PARENT = "MLPERF_LLAMA_PARENT"
INTERRUPT_GRACE_S = 3.5


def start(
    module: str, run_dir: Path, *, log: Path, env: dict[str, str] | None = None, keep: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start ``python -m MODULE RUN_DIR`` in a session of its own; its output is appended to ``log``.

    ``env``: laid over this process's environment. ``keep``: descriptors that it inherits.
    """
    env = os.environ | (env or {}) | {PARENT: str(os.getpid())}
    env["PYTHONPATH"] = python_path(env)
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", module, str(run_dir)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=env,
            start_new_session=True,
            pass_fds=keep,
        )


def parent() -> int | None:
    """In the child: who started it, if ``start`` did."""
    return int(os.environ.get(PARENT, 0)) or None


class Stop:
    """Whether the user asked to stop. A flag, for the exception that Python raises on Ctrl-C may come in the middle of
    anything, an import or a clean-up, and get lost there."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def asked(self) -> bool:
        return self._event.is_set()

    def ask(self) -> None:
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Wait so long for the user to ask."""
        return self._event.wait(seconds)

    def wait_for(self, child: subprocess.Popen[bytes], *, interrupted: str) -> int:
        """The exit status of ``child``. Raises ``RunError`` with the text ``interrupted`` as soon as the user asks."""
        while child.poll() is None and not self.wait(0.05):
            pass
        if self.asked:
            raise RunError(interrupted)
        return child.wait()


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """SIGINT and SIGTERM ask to stop, for the length of a block in the main thread."""
    stop = Stop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(number, lambda *_: stop.ask()) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)


def end(child: subprocess.Popen[bytes]) -> None:
    """Ask the child to stop, then make sure. Its workers die with it."""
    if child.poll() is None:
        child.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(INTERRUPT_GRACE_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
