"""How the run was set, and what it ran on."""

from __future__ import annotations

from typing import Any

from harness.report.document import Block, Folded, Section, Table
from harness.report.flat import flatten, value_text
from harness.report.load import RunData


def sections(run: RunData) -> list[Section]:
    """Everything that was set, and what it ran on."""
    groups: list[tuple[str, dict[str, Any]]] = [
        ("Versions", run.result.get("versions") or {}),
        ("Rules", run.result.get("rules") or {}),
        ("Model", run.session.get("model") or {}),
        ("Data set", run.session.get("dataset") or {}),
        ("Engine", run.session.get("engine") or {}),
        ("Compliance", run.result.get("compliance") or {}),
        ("Hardware", run.result.get("hardware") or {}),
        ("Configuration", run.config),
        ("LoadGen settings in effect", run.session.get("settings") or {}),
    ]
    blocks: list[Block] = []
    for title, group in groups:
        rows = [[key, value_text(value)] for key, value in flatten(group).items()]
        if rows:
            blocks.append(Folded(summary=title, blocks=[Table(caption=title, columns=["setting", "value"], rows=rows)]))
    return [Section(title="Settings and versions", blocks=blocks)] if blocks else []
