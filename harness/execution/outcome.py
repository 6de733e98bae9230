"""What a part came to: its status, one sentence about it, and the cause if it has no result."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

from harness.execution.shares import whole_rate
from harness.rundir import names
from harness.rundir.execution import Cause, PartName, PartStatus
from harness.rundir.foreign import find_runs
from harness.rundir.record import RunRecord
from harness.rundir.result import state_of
from harness.rundir.scaling import MemberOutcome, ScalingStep
from harness.rundir.session import LostWorker
from harness.text import duration
from mlperf_llama_base.child import exit_in_words
from mlperf_llama_base.errors import UserError

OURS = "mlperf-llama: "
ABOVE = "its message is above"  # what a campaign says of a run that broke
LOG_NAMED = re.compile(r"[\[(]([^\[\]()\s]+\.log)[\])]")


def status_of(code: int) -> PartStatus:
    return "done" if code == 0 else "not valid" if code == 1 else "failed"


def cause(lines: Sequence[str], *, code: int, root: Path, directory: Path, log: Path, nodes: Sequence[str]) -> Cause:
    """From the messages that a part printed (``lines``): the first that says what went wrong, where, in which log.

    A node that one of its runs (below ``directory``) lost before that is told with it: what followed came of it. Node
    and log are those of the member of a coordinated benchmark that the message names.
    """
    said = [line.removeprefix(OURS) for line in lines if line.startswith(OURS)]
    final = said[-1] if said else next((line for line in reversed(lines) if line.strip()), "")
    if ABOVE in final and len(said) > 1:
        final = said[-2]
    text = final or f"it ended without a message ({exit_in_words(code)})"
    named = LOG_NAMED.search(text)
    shown = LOG_NAMED.sub("", text).strip()
    members = _logs_of_members(directory)
    named_in = (node for node in [*members, *nodes] if re.search(rf"(?<![\w-]){re.escape(node)}(?![\w-])", shown))
    node = next(named_in, None)
    log = members.get(node or "", log)
    if (lost := _lost_in(directory)) is not None and node in (None, lost[0].node):
        worker, run = lost
        node = worker.node
        if worker.reason not in shown:
            shown = f"worker {worker.worker} on {node} was lost in {run} ({worker.reason}); then {shown}"
    return Cause(first_error=shown, node=node, log=_relative(Path(named[1]) if named else log, root))


def _lost_in(directory: Path) -> tuple[LostWorker, str] | None:
    """The first worker with a node that was lost in a run below, and the name of that run."""
    try:
        runs = find_runs([directory])
    except UserError:
        return None
    for run in runs:
        with contextlib.suppress(UserError):
            for lost in RunRecord(run).ran.lost_workers:
                if lost.node is not None:
                    return lost, run.relative_to(directory).as_posix() if run != directory else directory.name
    return None


def _logs_of_members(directory: Path) -> dict[str, Path]:
    """Of a coordinated benchmark, by the member's name, where they are here; those of its baselines are left out."""
    logs = sorted(directory.glob(f"*/{names.SESSION_LOG}"))
    return {log.parent.name: log for log in logs if not log.parent.name.startswith(names.BASELINE)}


def _members_of(directory: Path) -> list[MemberOutcome]:
    """Of the coordinated benchmark in ``directory``; empty where it left no record, or a damaged one."""
    try:
        record = RunRecord(directory).scaling
    except UserError:
        return []
    return record.steps[-1].members if record and record.steps else []


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def analysis(name: PartName, *, status: PartStatus, directory: Path, seconds: float, cause: Cause | None) -> str:
    """One sentence, from what the part left."""
    if status == "failed" and cause is not None:
        where = f" on {cause.node}" if cause.node and cause.node not in cause.first_error else ""
        begin = f"Without result after {duration(seconds)}: {cause.first_error.rstrip('.')}{where}."
        lost = _told_members(directory) if name == "coordinated" else ""
        return f"{begin}{lost}"
    try:
        return {"datacenter": _campaign, "distributed": _one_run, "coordinated": _members}[name](directory)
    except UserError as error:
        return f"What it left cannot be read: {error}."


def _campaign(directory: Path) -> str:
    runs = [RunRecord(run) for run in find_runs([directory]) if run.parent.name != "smoke"]
    valid = [run for run in runs if run.result is not None and run.result.valid]
    bad = [run for run in runs if run not in valid]
    text = f"{len(valid)} of {len(runs)} runs are valid"
    if not bad:
        return f"{text}: the plan is complete."
    first = next((run for run in bad if run.result is None or not run.result.too_short), bad[0])
    reasons = first.result.invalid_reasons if first.result else [first.ran.error or "it has no result"]
    state = first.result.state if first.result else "not valid"
    name = first.run_dir.relative_to(directory).as_posix()
    return f"{text}; {name} is {state}: {(reasons or ['no reason given'])[0].rstrip('.')}."


def _one_run(directory: Path) -> str:
    run = RunRecord(directory)
    ran, result = run.ran, run.result
    counts = ran.samples
    nodes = {worker.node for worker in ran.workers if worker.samples}
    text = f"{counts.completed or 0} of {counts.issued or 0} samples on {len(nodes)} node(s)"
    if (speed := whole_rate(run)) is not None and speed.value:
        text += f" at {speed.value:,.1f} tokens/s"
    for lost in ran.lost_workers[:1]:
        again = f"; {lost.samples_returned} of its samples went to others" if lost.samples_returned else ""
        text += f"; worker {lost.worker} on {lost.node or 'no node'} was lost ({lost.reason}){again}"
    if result is not None and not result.valid:
        text += f"; {result.state}: {(result.invalid_reasons or ['no reason given'])[0].rstrip('.')}"
    return f"{text}."


def _members(directory: Path) -> str:
    record = RunRecord(directory).scaling
    if record is None:
        return f"It left no {names.SCALING}."
    step: ScalingStep = record.steps[-1]
    text = (
        f"{len(step.members)} LoadGen(s) at once: {step.samples.completed} of {step.samples.issued} samples, "
        f"{step.tokens_per_second.value:,.1f} tokens/s"
    )
    if step.scaling is not None and step.scaling.efficiency is not None and len(step.workers) > 1:
        half = step.scaling.efficiency_ci95
        text += f", efficiency {step.scaling.efficiency:.1%}{'' if half is None else f' ± {half:.1%}'}"
    if not step.valid:
        state, reasons = state_of(False, too_short=step.too_short), step.invalid_reasons or ["no reason given"]
        text += f"; {state}: {reasons[0].rstrip('.')}"
    return f"{text}."


def _told_members(directory: Path) -> str:
    """What the members of a coordinated test did of which one broke."""
    members = _members_of(directory)
    fine = [member.name for member in members if member.status in ("ok", "invalid")]
    out = [member.told.rstrip(".") for member in members if member.status not in ("ok", "invalid")]
    if not members:
        return ""
    return f" To its end came {', '.join(fine) or 'nobody'}" + (f"; {'; '.join(out)}." if out[1:] else ".")
