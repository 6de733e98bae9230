"""Running the parts one after the other, each in a process of its own; one that fails does not end the others.

execution.json is replaced before and after each part, so that whoever looks, or continues after a kill, finds what was
done. A part that ended, well or not valid, from what would be its inputs again is not repeated.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec
from rich.console import Console

from harness.campaign.state import Fingerprints
from harness.execution import interruption, outcome
from harness.execution.assemble import assemble, concluded
from harness.execution.nodes import Nodes
from harness.execution.parts import NAMES, PartPlan
from harness.rundir import names
from harness.rundir.execution import Asked, ExecutionRecord, Part
from harness.rundir.files import read_record, write_record
from harness.text import duration
from mlperf_llama_base import interrupt
from mlperf_llama_base.orphans import die_with_parent
from mlperf_llama_base.source import python_path

LOGS = "logs"
NOTE_S = 15.0  # so much of the time that was spent a kill may leave untold
END_S = 45.0  # for a part to end its own runs, which have their time for that
ENDED = ("done", "not valid")


@dataclass
class Execution:
    """``directory``: of everything. ``asked``: for the record. ``command``: as it was typed."""

    directory: Path
    plans: Sequence[PartPlan]
    nodes: Nodes
    asked: Asked
    command: str
    console: Console
    fingerprints: Fingerprints = field(default_factory=Fingerprints)
    parts: dict[str, Part] = field(default_factory=dict)
    began: float = field(default_factory=time.time)
    first: str = ""  # when the first command began here, ISO 8601, UTC
    spent_s: float = 0.0  # by the commands that are continued here
    ended: str | None = None  # by the user, before its end: ISO 8601, UTC
    latest: ExecutionRecord | None = None  # as it was last read from what the parts left

    def load(self) -> None:
        """Take over what an earlier command did here."""
        earlier = read_record(self.directory / names.EXECUTION, ExecutionRecord)
        self.latest = earlier
        now = datetime.datetime.fromtimestamp(self.began, datetime.UTC).isoformat(timespec="seconds")
        self.first = earlier.time if earlier else now
        self.spent_s = (earlier.duration_s if earlier else None) or 0.0
        plans = {plan.name: plan for plan in self.plans}
        for name in NAMES:
            old = earlier.part(name) if earlier else None
            if old is not None and not (self.directory / name).is_dir():
                old = None
            if plan := plans.get(name):
                inputs = plan.inputs(self.fingerprints)
                if old is None or old.inputs != inputs:
                    old = Part(name=name, status="not run", directory=name, inputs=inputs)
                elif old.status not in ENDED:
                    before = old.earlier_s + (old.duration_s or 0.0)
                    old = Part(name=name, status="not run", directory=name, inputs=inputs, earlier_s=before)
            if old is not None:  # what an earlier command ran and this one does not is still part of the whole
                self.parts[name] = old
        self.asked.parts = [part.name for part in self.parts.values()]

    def run(self, lock: int) -> ExecutionRecord:
        """Every part that is not done. ``lock``: descriptor of the directory's, which each part holds with us."""
        for number, plan in enumerate(self.plans, 1):
            part = self.parts[plan.name]
            title = f"benchmark {number}/{len(self.plans)}: {plan.name}"
            if part.status in ENDED:
                self.console.print(f"{title}: {part.verdict}, from before", highlight=False)
                continue
            self.console.rule(f"{title} ({self._progress(plan)})")
            self._carry_out(plan, part, lock)
            shown = (self.latest and self.latest.part(plan.name)) or part
            self.console.print(f"{plan.name}: {shown.verdict}. {part.analysis}", highlight=False, markup=False)
        return self.save()

    def interrupted(self) -> ExecutionRecord:
        """Write down that the user ended the command, and what was done by then."""
        at = datetime.datetime.now(datetime.UTC)
        waiting = [part for part in self.parts.values() if part.status not in ENDED]
        if waiting:
            self.ended = at.isoformat(timespec="seconds")
        for part in waiting:
            if part.status == "interrupted":
                interruption.note(part, directory=self.directory / part.name, at=at)
            elif part.status == "not run" and part.cause is None:
                part.analysis = interruption.NOT_BEGUN
        return self.save()

    def _progress(self, plan: PartPlan) -> str:
        waiting = ("not run", "interrupted", "failed")
        left = [other.seconds for other in self.plans if self.parts[other.name].status in waiting]
        known = None if None in left else sum(second or 0.0 for second in left)
        estimate = f"; about {duration(known, rough=True)} of tests left" if known is not None else ""
        return f"{duration(time.time() - self.began)} gone{estimate}"

    def _carry_out(self, plan: PartPlan, part: Part, lock: int) -> None:
        directory, log = self.directory / plan.name, self.directory / LOGS / f"{plan.name}.log"
        if plan.fresh and directory.exists():
            shutil.rmtree(directory)  # ours: it was made for this part, which did not get to its end
        part.started = _now()
        part.status, part.cause, part.exit_code = "interrupted", None, None
        part.analysis = "It had begun when the command was ended."
        self.save(brief=True)
        began = time.monotonic()

        def note() -> None:
            part.duration_s = round(time.monotonic() - began, 1)
            with contextlib.suppress(OSError):  # a full disk: whether the part can do without is its own to say
                self.save(brief=True)

        try:
            code, lines = self._call(plan.command(directory), log, lock, note)
        finally:
            note()
        part.exit_code, part.status = code, outcome.status_of(code)
        if part.status == "failed":
            part.cause = outcome.cause(
                lines, code=code, root=self.directory, directory=directory, log=log, nodes=self.nodes.names
            )
        part.analysis = outcome.analysis(
            plan.name, status=part.status, directory=directory, seconds=part.duration_s or 0.0, cause=part.cause
        )
        self.save()

    def _call(self, command: list[str], log: Path, lock: int, note: Callable[[], None]) -> tuple[int, list[str]]:
        """Run a command to its end, with what it says on standard error shown and kept. It ends when we are killed.

        ``note`` is called now and then meanwhile.
        """
        log.parent.mkdir(exist_ok=True)
        env = os.environ | {"PYTHONPATH": python_path()}
        child = subprocess.Popen(
            command, env=env, pass_fds=(lock,), preexec_fn=_die_with_parent, stderr=subprocess.PIPE, text=True
        )
        lines: list[str] = []
        assert child.stderr is not None
        reader = threading.Thread(target=_copy, args=(child.stderr, log, lines), daemon=True)
        reader.start()
        try:
            code = _wait(child, note)
        except KeyboardInterrupt:
            interrupt.pass_on(child, grace_s=END_S)
            raise
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        reader.join(timeout=5.0)
        return code, lines

    def save(self, *, brief: bool = False) -> ExecutionRecord:
        """Write execution.json. ``brief``: without reading what the parts left, which takes a moment."""
        gone = time.time() - self.began + self.spent_s
        record = self._noted(self.first, gone) if brief else self._read(self.first, gone)
        write_record(self.directory / names.EXECUTION, record)
        return record

    def _read(self, started: str, gone: float) -> ExecutionRecord:
        self.latest = assemble(
            self.directory,
            time=started,
            parts=[msgspec.structs.replace(part) for part in self.parts.values()],
            nodes=self.nodes.nodes,
            cluster=self.nodes.kind,
            asked=self.asked,
            infrastructure=self.nodes.infrastructure,
            duration_s=gone,
            command=self.command,
            interrupted=self.ended,
        )
        return self.latest

    def _noted(self, started: str, gone: float) -> ExecutionRecord:
        """Where the parts are, with the figures that are known of those that ended: all that a kill leaves."""
        known = self.latest or ExecutionRecord(time=started)
        ended = {name for name, part in self.parts.items() if part.status in ENDED}
        environment = msgspec.structs.replace(known.environment, cluster=self.nodes.kind, nodes=self.nodes.nodes)
        return concluded(
            ExecutionRecord(
                time=started,
                duration_s=gone,
                command=self.command,
                asked=self.asked,
                parts=[_with_runs(part, known) for part in self.parts.values()],
                environment=environment,
                infrastructure=self.nodes.infrastructure,
                results=[result for result in known.results if result.part in ended],
                scaling=known.scaling if "coordinated" in ended else None,
            )
        )


def _with_runs(part: Part, known: ExecutionRecord) -> Part:
    """The part with the runs that are known of it, once it ended."""
    before = known.part(part.name)
    runs = before.runs if before is not None and part.status in ENDED else []
    return msgspec.structs.replace(part, runs=part.runs or runs)


def _wait(child: subprocess.Popen[str], note: Callable[[], None]) -> int:
    while True:
        try:
            return child.wait(NOTE_S)
        except subprocess.TimeoutExpired:
            note()


def _copy(source: IO[str], log: Path, lines: list[str]) -> None:
    """Show what comes and keep it, as far as the disk has room for it."""
    for line in source:
        lines.append(line.rstrip("\n"))
        sys.stderr.write(line)
        sys.stderr.flush()
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
            file.write(line)


def _die_with_parent() -> None:
    """In the child: be told when we die, even by kill -9."""
    die_with_parent(by=signal.SIGTERM)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
