"""Ctrl-C, SIGTERM and a terminal's hang-up end whatever a command does, wherever it is.

Python raises ``KeyboardInterrupt`` in the middle of anything. In an import of an extension or in a destructor it gets
lost, and the command would go on as if nobody had asked: so it is raised again until ``taken``.
"""

from __future__ import annotations

import signal
import sys
from typing import Any, NoReturn

AGAIN_S = 0.5
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def raise_on_signals() -> None:
    """Let these signals raise ``KeyboardInterrupt`` from now on. One that is ignored stays so: ``nohup``."""
    for number in NUMBERS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)


def taken() -> None:
    """Whoever has caught the exception says so, before an end that takes time.

    Where it came in the middle of an ``exec`` of text, as ``namedtuple`` does one, ``python -m`` would at its end
    forget its exit code and kill itself with SIGINT, whoever caught it; the next ``exec`` of text clears that mark.
    """
    exec("")
    if signal.getsignal(signal.SIGALRM) is _raise:  # else the timer is somebody else's
        signal.setitimer(signal.ITIMER_REAL, 0)


def _raise(*_: object) -> NoReturn:
    sys.unraisablehook = _quiet
    signal.signal(signal.SIGALRM, _raise)
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    raise KeyboardInterrupt


def _quiet(lost: Any) -> None:
    """One that a destructor has swallowed is no news."""
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
