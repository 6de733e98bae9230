"""Nothing of ours outlives who started it, and what our children leave behind is ours to end.

The kernel kills a child when its parent dies, even while it is stopped; and it gives the orphans of our descendants to
us instead of to init, also those that left their process group (setsid), so that they can be found and ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import psutil

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
FAMILY = "MLPERF_LLAMA_FAMILY"


def die_with_parent(parent: int | None = None, *, by: signal.Signals = signal.SIGKILL) -> None:
    """Ask the kernel for a signal on the parent's death (Linux; elsewhere :func:`die_with_pipe` has to do).

    ``parent``: its process id, where it is known; then a parent that was gone before we could ask ends us at once.
    """
    _prctl(PR_SET_PDEATHSIG, by)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def die_with_pipe(pipe: BinaryIO) -> None:
    """Kill this process's group once ``pipe`` ends: the other side, which alone holds it open, is gone."""

    def watch() -> None:
        with contextlib.suppress(OSError, ValueError):
            while pipe.read(1):
                pass
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


def adopt() -> None:
    """Become the parent of every descendant whose own parent dies (Linux)."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end(family: str) -> int:
    """SIGKILL the adopted children that carry the mark ``family`` (or one below it), and theirs. Returns how many.

    To be called when the process that they were inherited from has ended: what carries its mark then is an orphan.
    """
    import psutil

    ended: set[int] = set()
    while left := [p for p in psutil.Process().children() if p.pid not in ended and _is_of(p, family)]:
        for child in left:
            ended.add(child.pid)
            with contextlib.suppress(psutil.Error):
                child.kill()  # its own children come to us next
                child.wait(1)
    return len(ended)


def end_abandoned() -> int:
    """SIGKILL what carries our mark and whose starter is gone: left by a run that was killed with all its processes at
    once, so that nobody was there to adopt it. Returns how many."""
    import psutil

    count = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            mark = process.environ().get(FAMILY, "") if process.uids().real == os.getuid() else ""
            starter = mark.rpartition("/")[2].partition(".")[0]
            if starter and _same_namespace(process.pid) and not psutil.pid_exists(int(starter)):
                process.kill()
                count += 1
    return count


def _same_namespace(pid: int) -> bool:
    """Whether process ids mean the same there: seen from outside, a container's do not."""
    return Path(f"/proc/{pid}/ns/pid").readlink() == Path("/proc/self/ns/pid").readlink()


def _is_of(process: psutil.Process, family: str) -> bool:
    import psutil

    try:
        mark = process.environ().get(FAMILY, "")
    except (psutil.Error, OSError):
        return False
    return mark == family or mark.startswith(f"{family}/")


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
