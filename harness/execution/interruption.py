"""What was done when the user ended the command: which run a benchmark was in, and how many of its samples it had."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from harness.execution.assemble import concluded
from harness.rundir import names
from harness.rundir.execution import Asked, ExecutionRecord, Part, PartName, Unfinished
from harness.rundir.files import read_record, write_record
from harness.rundir.record import RunRecord
from harness.rundir.status import read_status
from harness.text import duration, number

NOT_BEGUN = "Not begun when the command was interrupted."


def unfinished(directory: Path, *, since: str | None) -> list[Unfinished]:
    """The runs below ``directory`` that told of themselves after ``since`` (ISO 8601) and have no result."""
    first = datetime.datetime.fromisoformat(since).timestamp() if since else 0.0
    found = []
    for path in sorted(directory.glob(f"**/{names.STATUS}")):
        run, status = path.parent, read_status(path.parent)
        if status is None or (status.time or 0.0) < first or (run / names.RESULT).is_file():
            continue
        found.append(
            Unfinished(
                name=run.relative_to(directory).as_posix() if run != directory else directory.name,
                state=_state(run, status.phase),
                samples_completed=status.completed,
                samples_expected=status.expected,
            )
        )
    return found


def _state(run: Path, phase: str | None) -> Literal["not begun", "running", "ended"]:
    """Of its test. A session that could still do so left its record; of one that was killed the last phase is known."""
    session = RunRecord(run).session
    if phase == "finished" or (session is not None and session.test_ended):
        return "ended"
    return "running" if phase == "running" or (session is not None and session.test_started) else "not begun"


def note(part: Part, *, directory: Path, at: datetime.datetime) -> None:
    """Into the part: when it was ended, and how far it was."""
    part.interrupted = at.isoformat(timespec="seconds")
    part.unfinished = unfinished(directory, since=part.started)
    after = f", {duration(part.duration_s)} after it began" if part.duration_s is not None else ""
    runs = "; ".join(_told(run) for run in part.unfinished) or "no test had begun"
    part.analysis = f"Interrupted at {at:%H:%M:%S} UTC{after}: {runs}."


def _told(run: Unfinished) -> str:
    if run.state == "not begun":
        return f"{run.name}: its test had not begun"
    done = f"{number(run.samples_completed)} of {number(run.samples_expected)} samples done"
    return f"{run.name}: {done}" + (", and its result not written" if run.state == "ended" else "")


def before_anything(directory: Path, wanted: Sequence[PartName], *, command: str) -> ExecutionRecord:
    """Write down that the user ended the command before it knew its nodes: beside what an earlier one left here."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record = read_record(directory / names.EXECUTION, ExecutionRecord) or ExecutionRecord(
        time=now,
        command=command,
        asked=Asked(parts=list(wanted)),
        parts=[Part(name=name, status="not run", directory=name, analysis=NOT_BEGUN) for name in wanted],
    )
    record.interrupted = now
    record = concluded(record)
    write_record(directory / names.EXECUTION, record)
    return record
