"""Private folders for what lives as long as a process: made, held by a lock, removed; and cleared by the next one if
their process was killed before it could.

Only a folder with our lock in it is ever removed, and only when nobody holds the lock: the kernel releases it with the
process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from mlperf_llama_base.errors import EnvironmentFault

PREFIX = "mlperf-llama-"
LOCK = ".mlperf-llama-lock"
SOCKET_LIMIT = 107  # bytes of a path in sockaddr_un (unix(7)), without its end
SHORT_PLACES = ("/tmp", "/dev/shm", "/var/tmp")


class ScratchFolder:
    """A folder that only this user can enter. ``path`` is there until :meth:`remove`.

    ``name`` says what for. ``socket``: length of the longest name of a Unix socket in it; where TMPDIR is too deep for
    that, a shorter place is taken. Raises ``EnvironmentFault`` if there is no place.
    """

    def __init__(self, name: str = "", *, socket: int = 0) -> None:
        places = [tempfile.gettempdir(), *(SHORT_PLACES if socket else ())]
        errors = []
        for place in places:
            longest = len(os.fsencode(place)) + len(f"/{PREFIX}{name}-12345678/") + socket
            if socket and longest > SOCKET_LIMIT:
                errors.append(f"{place} is too long for a socket's path ({longest} bytes of {SOCKET_LIMIT})")
                continue
            clear_stale(Path(place))
            try:
                self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{name}-" if name else PREFIX, dir=place))
                self._lock: int | None = _hold(self.path)
                return
            except OSError as error:
                errors.append(f"{place}: {error.strerror or error}")
        raise EnvironmentFault(f"no folder for temporary files: {'; '.join(errors)}; set TMPDIR to a short path")

    def remove(self) -> None:
        """Safe to call twice."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def clear_stale(place: Path | None = None) -> int:
    """Remove the folders in ``place`` (none: TMPDIR) whose process is gone. Returns how many."""
    count = 0
    for lock in (place or Path(tempfile.gettempdir())).glob(f"{PREFIX}*/{LOCK}"):
        with contextlib.suppress(OSError):
            if lock.parent.is_symlink() or lock.parent.stat().st_uid != os.getuid():
                continue
            with lock.open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
                count += 1
    return count


def _hold(folder: Path) -> int:
    """Lock ``folder`` until the descriptor that is returned is closed. The lock appears there held."""
    draft = folder / f"{LOCK}.new"
    descriptor = os.open(draft, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    draft.replace(folder / LOCK)
    return descriptor
