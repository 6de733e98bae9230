"""system.json as types: what machine a run was on, as ``harness.inventory.system`` collects it."""

from __future__ import annotations

from typing import Any

import msgspec

SCHEMA_VERSION = 1


class SystemRecord(msgspec.Struct, kw_only=True):
    """``software``: versions by name; what could not be found out is null. ``git_revision``: of this program."""

    schema_version: int = SCHEMA_VERSION
    cpu: dict[str, Any] | None = None
    memory: dict[str, Any] | None = None
    storage: list[dict[str, Any]] | None = None
    network: list[dict[str, Any]] | None = None
    os: dict[str, str | None] | None = None
    gpu: dict[str, Any] | None = None
    software: dict[str, str | None] = {}
    git_revision: str | None = None

    @property
    def hardware(self) -> dict[str, Any]:
        """The parts that were recorded."""
        parts = ("cpu", "memory", "storage", "network", "os", "gpu")
        return {name: value for name in parts if (value := getattr(self, name)) is not None}
