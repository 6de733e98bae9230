"""preflight.json as types: what was found of the machine and the input before the run."""

from __future__ import annotations

from typing import Any

import msgspec

SCHEMA_VERSION = 1


class PreflightFinding(msgspec.Struct, kw_only=True):
    """One check's outcome. ``status``: pass, warn or fail; ``of_input``: about what the user gave."""

    status: str | None = None
    found: str | None = None
    advice: str = ""
    details: list[str] = []
    blocks_submission: bool = False
    check: str | None = None
    of_input: bool = False
    seconds: float = 0.0


class PreflightRecord(msgspec.Struct, kw_only=True):
    """``status``: the worst finding's. ``facts``: what identifies this node (versions, digests, GPUs, clock)."""

    schema_version: int = SCHEMA_VERSION
    status: str | None = None
    submittable: bool | None = None
    time: str | None = None
    seconds: float | None = None
    findings: list[PreflightFinding] = []
    facts: dict[str, Any] = {}
