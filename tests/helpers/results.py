"""A run's result as the mapping that lands in result.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from harness.verdict.result import result_of


def build_result(run_dir: Path) -> dict[str, Any]:
    """The contents of result.json for a run directory."""
    built: dict[str, Any] = msgspec.to_builtins(result_of(run_dir))
    return built
