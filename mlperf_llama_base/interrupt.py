"""Ctrl-C, SIGTERM and a terminal's hang-up end whatever a command does, wherever it is.

Python raises ``KeyboardInterrupt`` in the middle of anything. In an import of an extension or in a destructor it gets
lost, and the command would go on as if nobody had asked: so it is raised again until ``taken``.
"""

from __future__ import annotations

import atexit
import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

AGAIN_S = 0.5
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def raise_on_signals() -> None:
    """Let these signals raise ``KeyboardInterrupt`` from now on. One that is ignored stays so: ``nohup``."""
    for number in heard():
        signal.signal(number, _raise)


def taken() -> None:
    """Whoever has caught the exception says so, before an end that takes time.

    Where it came in the middle of an ``exec`` of text, as ``namedtuple`` does one, ``python -m`` would at its end
    forget its exit code and kill itself with SIGINT, whoever caught it; the next ``exec`` of text clears that mark.
    """
    exec("")
    if signal.getsignal(signal.SIGALRM) is _raise:  # else the timer is somebody else's
        signal.setitimer(signal.ITIMER_REAL, 0)


def over() -> None:
    """The command has its exit code: whoever asks now does not take that away.

    Python, while it takes itself apart, would leave the signals to the kernel, which would end it by them.
    """
    taken()
    for number in heard():
        signal.signal(number, _ignore)
    atexit.register(_ignore_all)


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """For the end itself, once it has begun: who asks for it again does not break it off (main thread)."""
    taken()
    numbers = heard()
    before = [signal.signal(number, _ignore) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def pass_on(child: subprocess.Popen[Any], *, grace_s: float) -> None:
    """Tell a child to end as we were told to, and wait for that; kill it if it takes longer than ``grace_s`` seconds.

    A terminal has told it already, as all that runs there: being told twice must do it no harm.
    """
    with unheard():
        ask_to_end(child, signal.SIGTERM, grace_s=grace_s)


def ask_to_end(child: subprocess.Popen[Any], number: signal.Signals, *, grace_s: float) -> None:
    """Send a child this signal and wait for its end; kill it if it takes longer than ``grace_s`` seconds."""
    child.send_signal(number)
    try:
        child.wait(grace_s)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def heard() -> list[signal.Signals]:
    """Those of the signals that are not ignored: ``nohup`` ignores SIGHUP."""
    return [number for number in NUMBERS if signal.getsignal(number) is not signal.SIG_IGN]


def _ignore_all() -> None:
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def _ignore(*_: object) -> None:
    """Unlike ``SIG_IGN`` a process that is started meanwhile does not inherit it."""


def _raise(*_: object) -> NoReturn:
    sys.unraisablehook = _quiet
    signal.signal(signal.SIGALRM, _raise)
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    raise KeyboardInterrupt


def _quiet(lost: Any) -> None:
    """One that a destructor has swallowed is no news."""
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
