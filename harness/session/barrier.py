"""Several sessions that start together: each says that it is ready and waits for a time of day to begin at."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from mlperf_llama_base.files import write_whole

HOLD = "hold"  # its presence in a run directory makes the session wait
GO = "go"  # holds the Unix time, by this machine's clock, at which the test begins
READY = "ready"  # the phase in status.json meanwhile
LOOK_S = 0.02  # how often a session that waits for its time looks whether it was called back


class Holding(Protocol):
    def hold(self) -> None: ...


def wait(session: Holding, run_dir: Path) -> None:
    """Return at the time in ``go``; at once where nobody asked to hold. Raises what ``session.hold`` raises."""
    if not (run_dir / HOLD).exists():
        return
    while True:
        at = _told(run_dir)
        if at is None:
            session.hold()
        elif (left := at - time.time()) > 0:
            time.sleep(min(left, LOOK_S))
        else:
            return


def release(run_dir: Path, at: float) -> None:
    """Let the session of ``run_dir`` begin at Unix time ``at``."""
    write_whole(run_dir / GO, repr(at).encode())


def recall(run_dir: Path) -> bool:
    """Take that back. Returns False if the time has come already, and the session may have begun."""
    at = _told(run_dir)
    (run_dir / GO).unlink(missing_ok=True)
    return at is None or time.time() < at


def _told(run_dir: Path) -> float | None:
    try:
        return float((run_dir / GO).read_text())
    except FileNotFoundError:
        return None
