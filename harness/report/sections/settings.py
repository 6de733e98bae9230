"""How the run was set, and what it ran on."""

from __future__ import annotations

from typing import Any

from harness.report.document import Block, Folded, Section, Table
from harness.report.flat import flatten, flatten_record, value_text
from harness.report.load import RunData
from harness.report.logged import logged_settings


def sections(run: RunData) -> list[Section]:
    """Everything that was set, and what it ran on."""
    result, session = run.result, run.session
    groups: list[tuple[str, dict[str, Any]]] = [
        ("Versions", dict(result.versions) if result else {}),
        ("Rules", flatten_record(result.rules if result else None)),
        ("Model", flatten_record(session.model)),
        ("Data set", flatten_record(session.dataset)),
        ("Engine", flatten_record(session.engine)),
        ("Compliance", flatten_record(result.compliance if result else None)),
        ("Hardware", flatten_record(result.hardware if result else None)),
        ("Configuration", flatten(run.config)),
        ("LoadGen settings in effect", flatten(session.settings) or (logged_settings(run) if run.is_foreign else {})),
    ]
    blocks: list[Block] = []
    for title, group in groups:
        rows = [[key, value_text(value)] for key, value in group.items()]
        if rows:
            blocks.append(Folded(summary=title, blocks=[Table(caption=title, columns=["setting", "value"], rows=rows)]))
    return [Section(title="Settings and versions", blocks=blocks)] if blocks else []
