"""The outcome of a pre-flight: for people a table, for programs preflight.json, for other nodes the facts."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.preflight.base import Finding, Status
from harness.rundir.files import write_record
from harness.rundir.preflight import PreflightRecord
from mlperf_llama_base.errors import EnvironmentFault, UserError

if TYPE_CHECKING:
    from rich.table import Table

STYLES = {Status.PASS: "green", Status.WARN: "yellow", Status.FAIL: "bold red"}


@dataclass(frozen=True, kw_only=True)
class Report:
    """``facts``: what identifies this node (versions, digests, GPUs, clock). ``seconds``: the whole pre-flight's."""

    findings: list[Finding]
    facts: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    time: str = ""

    @property
    def status(self) -> Status:
        """The worst finding's."""
        return max((f.status for f in self.findings), key=lambda s: s.rank, default=Status.PASS)

    @property
    def submittable(self) -> bool:
        """Nothing was found that rules a submission out."""
        return not any(f.blocks_submission for f in self.findings)

    def raise_failure(self, then: str, *, of: str = "") -> None:
        """If a check failed, raise the first: ``UserError`` if it is about what the user gave, else
        ``EnvironmentFault``.

        ``then``: what the user can do next, for the end of the line; ``of``: which of several pre-flights this is.
        Every command that runs a pre-flight ends here, so that the same fault has the same exit code everywhere.
        """
        failed = [f for f in self.findings if f.status is Status.FAIL]
        if not failed:
            return
        first = failed[0]
        what = f"{first.check}: {first.found}" + (f"; {first.advice}" if first.advice else "")
        more = f"{len(failed) - 1} more failed; " if len(failed) > 1 else ""
        kind = UserError if first.of_input else EnvironmentFault
        raise kind(f"pre-flight{f' of {of}' if of else ''} failed: {what} ({more}{then})")

    def record(self) -> PreflightRecord:
        return PreflightRecord(
            status=str(self.status),
            submittable=self.submittable,
            time=self.time,
            seconds=round(self.seconds, 3),
            findings=[f.record() for f in self.findings],
            facts=self.facts,
        )

    def save(self, path: Path) -> None:
        """Write ``preflight.json``. Raises ``OSError``."""
        write_record(path, self.record())

    def table(self, *, title: str = "Pre-flight") -> Table:
        """A rich table: a row a finding, its advice under what was found."""
        return findings_table(self.findings, title=title)

    def summary(self) -> str:
        counts = {status: sum(f.status is status for f in self.findings) for status in Status}
        return (
            f"{counts[Status.PASS]} passed, {counts[Status.WARN]} warnings, {counts[Status.FAIL]} failed in "
            f"{self.seconds:.1f} s; a run made now {'could' if self.submittable else 'could not'} be submitted"
        )


def findings_table(findings: list[Finding], *, title: str) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_lines=False)
    table.add_column("", no_wrap=True)
    table.add_column("Check", no_wrap=True)
    table.add_column("Found", overflow="fold")
    for finding in findings:
        lines = [escape(finding.found)]
        if finding.advice:
            lines.append(f"[dim]→ {escape(finding.advice)}[/]")
        lines += [escape(detail) for detail in finding.details]
        style = STYLES[finding.status]
        table.add_row(f"[{style}]{finding.status}[/]", finding.check, "\n".join(lines))
    return table


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
