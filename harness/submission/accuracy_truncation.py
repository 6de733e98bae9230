"""Shorten LoadGen's accuracy log for publication as the rules want it, and keep the complete one.

The result equals that of mlcommons/inference tools/submission/truncate_accuracy_log.py: the SHA-256 of the complete
log is added to accuracy.txt as ``hash=``, the log keeps its first and last 4,096 characters.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from harness.loadgen.log import ACCURACY
from harness.submission.rules import TRUNCATION_MARK, VIEWABLE_CHARACTERS
from mlperf_llama_base.errors import RunError, UserError
from mlperf_llama_base.files import sha256_of

HASH_LINE = re.compile(r"^hash=\w+$\n?", re.MULTILINE)


def is_truncated(log: Path) -> bool:
    """Whether this accuracy log was shortened already."""
    if log.stat().st_size > 4 * VIEWABLE_CHARACTERS:
        return False
    return TRUNCATION_MARK in log.read_text(encoding="utf-8", errors="replace")


def truncate(accuracy_dir: Path, *, backup: Path) -> str:
    """Shorten ``accuracy_dir/mlperf_log_accuracy.json``, copy the complete log to ``backup``, return its SHA-256.

    Raises ``UserError`` if accuracy.txt is missing, the log was shortened before, or ``backup`` holds another log.
    """
    log, scores = accuracy_dir / ACCURACY, accuracy_dir / "accuracy.txt"
    for path in (log, scores):
        if not path.is_file():
            raise UserError(f"{path} is missing: score the accuracy run first (mlperf-llama accuracy RUN_DIR)")
    if is_truncated(log):
        raise UserError(f"{log} was shortened before: its hash must come from the complete log, put that one back")
    digest = sha256_of(log)
    if backup.exists() and sha256_of(backup) != digest:
        raise UserError(f"{backup} is the backup of another log: give another --backup directory")
    backup.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(log, backup)
    if sha256_of(backup) != digest:
        raise RunError(f"{backup} was not written whole: check the disk's free space, then build again")
    text = HASH_LINE.sub("", scores.read_text()).rstrip("\n")
    scores.write_text(f"{text}\n\nhash={digest}\n")
    _shorten(log)
    return digest


def _shorten(log: Path) -> None:
    log.write_bytes(shortened(log.read_bytes()))


def shortened(log: bytes) -> bytes:
    """Both ends of a complete log; one under 4,096 bytes stays whole. LoadGen writes ASCII: characters are bytes."""
    if len(log) < VIEWABLE_CHARACTERS:
        return log
    return log[:VIEWABLE_CHARACTERS] + TRUNCATION_MARK.encode() + log[-VIEWABLE_CHARACTERS:]
