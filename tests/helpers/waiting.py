"""Waiting for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], bool], seconds: float = 30.0, why: Callable[[], str] = lambda: "") -> None:
    """Wait for ``condition``; fail with ``why`` if it does not hold within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, why() or f"did not happen within {seconds:g} s"
        time.sleep(0.02)
