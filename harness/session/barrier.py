"""Several sessions that start together: each says that it is ready and waits for a time of day to begin at."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from mlperf_llama_base.files import write_whole

HOLD = "hold"  # its presence in a run directory makes the session wait
GO = "go"  # holds the Unix time, by this machine's clock, at which the test begins
READY = "ready"  # the phase in status.json meanwhile


class Holding(Protocol):
    def hold(self) -> None: ...


def wait(session: Holding, run_dir: Path) -> None:
    """Return at the time in ``go``; at once where nobody asked to hold. Raises what ``session.hold`` raises."""
    if not (run_dir / HOLD).exists():
        return
    while not (run_dir / GO).exists():
        session.hold()
    time.sleep(max(0.0, float((run_dir / GO).read_text()) - time.time()))


def release(run_dir: Path, at: float) -> None:
    """Let the session of ``run_dir`` begin at Unix time ``at``."""
    write_whole(run_dir / GO, repr(at).encode())
