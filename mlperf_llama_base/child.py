"""The one way to start a process of our own, and to be sure of its end.

Each is a fresh interpreter in a session of its own, so that it and its children die together; none outlives who started
it (:mod:`mlperf_llama_base.orphans`).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlperf_llama_base import interrupt, orphans
from mlperf_llama_base.errors import RunError
from mlperf_llama_base.source import python_path

PARENT = "MLPERF_LLAMA_PARENT"
_numbers = itertools.count(1)
INTERRUPT_GRACE_S = 3.5
KILL_GRACE_S = 30.0  # a process that hangs in a driver's call does not end even when it is killed


class Child(subprocess.Popen[bytes]):
    """A process of ours. ``family``: the mark that it and all its descendants carry in their environment."""

    family: str


def start(
    module: str,
    *arguments: Path | str,
    log: Path | None,
    env: dict[str, str] | None = None,
    pipe: bool = False,
    keep: Sequence[int] = (),
) -> Child:
    """Start ``python -m MODULE ARGUMENTS``. Its output is appended to ``log``, whose folder is made.

    ``env``: laid over this process's environment. ``pipe``: keep its stdin open to us; its end tells the child that we
    are gone. ``keep``: descriptors that it inherits. Raises ``OSError`` where there is no room for a process or a file.
    """
    orphans.adopt()
    family = f"{os.environ.get(orphans.FAMILY, '')}/{os.getpid()}.{next(_numbers)}"
    env = os.environ | (env or {}) | {PARENT: str(os.getpid()), orphans.FAMILY: family}
    env["PYTHONPATH"] = python_path(env)
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
    with Path(log or os.devnull).open("ab") as out:
        child = Child(
            [sys.executable, "-m", module, *map(str, arguments)],
            stdin=subprocess.PIPE if pipe else subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=env,
            start_new_session=True,
            pass_fds=keep,
        )
    child.family = family
    return child


def hand_over(child: Child, payload: bytes) -> None:
    """Write ``payload`` to the stdin of a child that was started with ``pipe``, which stays open."""
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it died already; the next look finds out
        child.stdin.write(len(payload).to_bytes(4, "little") + payload)
        child.stdin.flush()


def handed_over() -> bytes:
    """In the child: that payload."""
    size = int.from_bytes(sys.stdin.buffer.read(4), "little")
    return sys.stdin.buffer.read(size)


def parent() -> int | None:
    """In the child: who started it, if ``start`` did."""
    return int(os.environ.get(PARENT, 0)) or None


def kill_group(child: Child) -> None:
    """SIGKILL the child and all that it started, even stopped ones; a group that is gone is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def clean_up(child: Child) -> None:
    """End whatever a child that has ended left behind, also what had left its process group."""
    kill_group(child)
    orphans.end(child.family)
    if child.stdin:
        with contextlib.suppress(OSError):
            child.stdin.close()


def end(child: Child, *, grace_s: float = INTERRUPT_GRACE_S, ask: bool = True) -> bool:
    """Ask the child to stop (SIGINT), wait ``grace_s`` seconds, then kill it and whatever it left behind.

    Returns False if the kernel cannot end it.
    """
    if child.poll() is None:
        if ask:
            child.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace_s)
    kill_group(child)
    try:
        child.wait(KILL_GRACE_S)
    except subprocess.TimeoutExpired:
        return False
    clean_up(child)
    return True


def exit_in_words(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"exited with status {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


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
    """SIGINT, SIGTERM and SIGHUP ask to stop, for the length of a block in the main thread.

    One that is ignored stays so: ``nohup`` ignores SIGHUP.
    """
    stop = Stop()
    numbers = interrupt.heard()
    previous = [signal.signal(number, lambda *_: stop.ask()) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
