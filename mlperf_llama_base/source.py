"""Where this code lies, and how a child process finds it, installed or not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("mlperf_llama_base", "harness", "qsl", "sut")


def python_path(inherited: Mapping[str, str] = os.environ) -> str:
    """Return ``PYTHONPATH`` for a child: this code first, then what ``inherited`` has."""
    return os.pathsep.join(part for part in (str(ROOT), inherited.get("PYTHONPATH")) if part)
