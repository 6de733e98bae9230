"""Names of the files in a run directory, in one place."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

CONFIG = "config.yaml"
USER_CONF = "user.conf"
AUDIT_CONF = "audit.config"
STATUS = "status.json"
SESSION = "session.json"
EVENTS = "events.parquet"
METRICS = "metrics.parquet"
ACCURACY = "accuracy.txt"
PREFLIGHT = "preflight.json"
SYSTEM = "system.json"
RESULT = "result.json"
SUMMARY_LOG = "mlperf_log_summary.txt"
DETAIL_LOG = "mlperf_log_detail.txt"
ACCURACY_LOG = "mlperf_log_accuracy.json"
SESSION_LOG = "session.log"
WORKERS = "workers"

BEFORE_THE_START = frozenset({CONFIG, SYSTEM, PREFLIGHT})
"""All that is there of a run whose test has not begun."""


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of it. Raises ``OSError``."""
    write_whole(path, json.dumps(value, indent=1).encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; an earlier one stays until then. Raises ``OSError``."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_bytes(content)
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """Return the parsed file, or ``None`` if it is missing or cannot be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
