"""One writer for a run directory: a lock that the kernel releases when its last holder has gone, however that ended.

The command and the process that measures for it both hold it, so that a run whose command was killed is waited for.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import itertools
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness.rundir.files import read_record
from harness.rundir.names import LOCK
from mlperf_llama_base.errors import UserError
from mlperf_llama_base.node import node_name

WAIT_S = 2.0  # a run whose command was killed ends within this, and who only looks holds the lock for microseconds
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)  # a file system without them: the run goes on without


class Holder(msgspec.Struct, kw_only=True):
    """Who writes, or wrote, into a directory."""

    pid: int
    node: str
    since: str
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.node}, since {self.since}: {self.command}"


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[int]:
    """Hold ``directory``, which exists, for a block; yields the lock's descriptor, to be given to children that write.

    Raises ``UserError`` that says who holds it, ``OSError`` where nothing can be written.
    """
    path = directory / LOCK
    descriptor = _take(path)
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(_myself()), 0)
        yield descriptor
    finally:
        path.unlink(missing_ok=True)  # while it is held: who waits for it notices, and makes another
        os.close(descriptor)


def holder(directory: Path) -> Holder | None:
    """Who holds ``directory`` now, None if nobody does."""
    try:
        descriptor = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return last_holder(directory) or Holder(pid=0, node="?", since="?", command="?")
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def refuse_while_written(directory: Path) -> None:
    """Raise ``UserError`` while somebody writes there: what is read would be half of a run."""
    if who := holder(directory):
        raise UserError(f"{directory} is being written by {who}: wait for the run to end")


def last_holder(directory: Path) -> Holder | None:
    """Who wrote the lock file that lies in ``directory``: its holder, or one that was killed."""
    try:
        return read_record(directory / LOCK, Holder)
    except UserError:
        return None


def _take(path: Path) -> int:
    deadline = time.monotonic() + WAIT_S
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                who = holder(path.parent)
                raise UserError(
                    f"{path.parent} is being written by another run ({who or 'unknown'}): wait for it, end it, or "
                    "choose another --output"
                ) from None
        except OSError as error:
            if error.errno in NO_LOCKS:
                return descriptor
            os.close(descriptor)
            raise
        os.close(descriptor)
        time.sleep(0.05)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the file that was locked is the one that lies there: its holder before removed it when it was done."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)


def _myself() -> Holder:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    words = " ".join(["mlperf-llama", *itertools.takewhile(lambda word: not word.startswith("-"), sys.argv[1:3])])
    return Holder(pid=os.getpid(), node=node_name(), since=now, command=words)
