"""The three error families. Only the command line turns them into exit codes.

Every message is one line: what is wrong, where, and what to do next.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class HarnessError(Exception):
    """Base of the families; ``exit_code`` is the process's exit status."""

    exit_code = 4


class UserError(HarnessError):
    """What the user gave is wrong: an option, a file, a data set, a configuration key."""

    exit_code = 2


class EnvironmentFault(HarnessError):
    """The machine or the installation is not fit: a missing package, GPU, weight file, disk space."""

    exit_code = 3


class RunError(HarnessError):
    """The run broke after it had begun: every worker is dead, no progress, LoadGen refused."""

    exit_code = 4


REMEDIES = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there, or raise the quota",
    errno.EMFILE: "raise the limit of open files: ulimit -n 65536",
    errno.ENFILE: "the whole machine has too many open files: close some, or raise fs.file-max",
    errno.EACCES: "change its owner or permissions",
    errno.EPERM: "change its owner or permissions",
    errno.EROFS: "the file system is read-only: mount it for writing",
    errno.EISDIR: "a directory is there where a file belongs: move it away",
    errno.ENOTDIR: "a file is there where a directory belongs: move it away",
    errno.ELOOP: "its symbolic links lead in a circle: correct them",
}


def remedy(error: OSError) -> str:
    """What to do about a failed system call, for the end of a message."""
    return REMEDIES.get(error.errno or 0, "look at the system's log")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest of ``known``, else an empty string."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {str(match[0])!r}?" if match else ""
