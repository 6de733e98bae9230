"""``scaling.json`` of a scaling or coordinated benchmark; the report is made from it (:mod:`harness.report`)."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from harness.rundir import names
from harness.rundir.files import write_record
from harness.rundir.scaling import ScalingRecord, ScalingStep
from harness.scaling.analysis import issues


def save(
    folder: Path,
    *,
    kind: str,
    baselines: dict[str, ScalingStep],
    steps: list[ScalingStep],
    facts: dict[str, str | int | None],
    known: Sequence[str] = (),
) -> ScalingRecord:
    """Write it. ``steps``: with ``scaling``; the last one is the whole machine. ``known``: further issues."""
    record = ScalingRecord(
        kind=kind,
        time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        facts=facts,
        baselines=baselines,
        steps=steps,
        issues=[*known, *issues([*baselines.values(), *steps])],
    )
    write_record(folder / names.SCALING, record)
    return record
