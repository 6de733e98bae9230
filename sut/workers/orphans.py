"""A worker never outlives the run: the kernel kills it when its parent dies, even while it is stopped."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from typing import BinaryIO

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int | None = None) -> None:
    """Ask the kernel for SIGKILL on the parent's death (Linux; elsewhere :func:`die_with_pipe` has to do).

    ``parent``: its process id, where it is known; then a parent that was gone before we could ask ends us at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
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
