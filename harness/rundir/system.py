"""system.json: what machine a run was on."""

from __future__ import annotations

import msgspec

from harness.inventory.machine import Machine

SCHEMA_VERSION = 1


class SystemRecord(Machine, kw_only=True):
    """``software``: versions by name; what could not be found out is null. ``git_revision``: of this program."""

    schema_version: int = SCHEMA_VERSION


def this_system() -> SystemRecord:
    """Describe this machine, in under 1 s."""
    from harness.inventory.system import collect

    return SystemRecord(**msgspec.structs.asdict(collect()))
