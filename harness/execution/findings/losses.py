"""What did not get done: parts without a result, nodes and samples that are missing, answers that are none."""

from __future__ import annotations

from collections.abc import Iterator

from harness.rundir.execution import ExecutionRecord, Part
from harness.rundir.execution_results import ClusterResult, Finding, NodeResult
from harness.rundir.result import TOO_SHORT
from harness.rundir.session import LostWorker
from harness.text import duration, number

LONGEST = 200
LONGER = "Give it more samples (--samples): LoadGen's verdict on a scenario with a latency limit takes 459 at least."
AT_ONCE_S = 5.0  # a part that ends within that never began a test


def parts_without_result(record: ExecutionRecord) -> Iterator[Finding]:
    """A benchmark that was asked for and gave no figure."""
    for part in record.parts:
        if part.status in ("done", "not valid"):
            continue
        wanted = part.status == "not run" or part.interrupted is not None  # by the user
        yield Finding(
            rule="no-result",
            severity="warning" if wanted else "critical",
            topic="correctness",
            text=f"The {part.name} benchmark has no result: {_how(part)}",
            figures={"exit_code": part.exit_code, "duration_s": part.duration_s, **_so_far(part)},
            advice=_next(part),
            part=part.name,
            node=part.cause.node if part.cause else None,
        )


def _next(part: Part) -> str:
    if part.status in ("interrupted", "not run") and part.cause is None:
        return "Give the same command again: it continues with what is not done."
    if part.status == "not run" and part.cause is not None:
        return f"Correct what {part.cause.log or 'the first error line'} says, then give the same command again."
    look = f"correct what {part.cause.log or 'its first error line'} says" if part.cause else "see its log"
    return f"Make the {part.name} benchmark run first: {look}, then continue with --only {part.name}."


def _so_far(part: Part) -> dict[str, float | str | None]:
    """Samples of what it was interrupted in."""
    if not part.unfinished:
        return {}
    return {
        "samples_completed": sum(run.samples_completed for run in part.unfinished),
        "samples_expected": sum(run.samples_expected or 0 for run in part.unfinished) or None,
    }


def _how(part: Part) -> str:
    if part.interrupted is not None and part.analysis:
        return f"{part.analysis[0].lower()}{part.analysis[1:]}"
    took = "" if part.duration_s is None else f" after {_seconds(part.duration_s)}"
    code = "" if part.exit_code is None else f" with exit code {part.exit_code}"
    at_once = part.duration_s is not None and part.duration_s < AT_ONCE_S and part.status == "failed"
    return f"{part.status}{took}{code}{', before any test began' if at_once else ''}. {_why(part)}"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 60 else duration(value)


def _why(part: Part) -> str:
    cause = part.cause
    if cause is None:
        return part.analysis or "No cause was recorded."
    where = f" on {cause.node}" if cause.node and cause.node not in cause.first_error else ""
    return f"Its first error{where}: {brief(cause.first_error)}"


def brief(text: str) -> str:
    """The start of a long message; what it says in full stands with its benchmark."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rsplit(' ', 1)[0]} …"


def parts_not_valid(record: ExecutionRecord) -> Iterator[Finding]:
    """A benchmark that ran to its end and whose result does not count."""
    for part in record.parts:
        if part.status != "not valid":
            continue
        bad = [run for run in part.runs if run.valid is False]
        reasons = [f"{run.name}: {brief(reason)}" for run in bad for reason in run.invalid_reasons[:1]]
        short = part.verdict == TOO_SHORT
        said = "; ".join(reasons[:3]) + (f"; and {len(reasons) - 3} more" if len(reasons) > 3 else "")
        yield Finding(
            rule="not-valid",
            severity="warning" if short else "critical",
            topic="measurement" if short else "correctness",
            text=f"The {part.name} benchmark ran, but {'is too short for a verdict' if short else 'does not count'}: "
            f"{(said or part.analysis or 'LoadGen says INVALID').rstrip('.')}.",
            figures={"exit_code": part.exit_code, "runs_not_valid": len(bad), "runs": len(part.runs)},
            advice=LONGER
            if short
            else f"Do not quote the figures of the {part.name} benchmark. Remove the reasons and run it again.",
            part=part.name,
        )


def lost_samples(record: ExecutionRecord) -> Iterator[Finding]:
    """Samples that were asked and never answered, by node, with the cause where one is known."""
    for result in record.results:
        for node in result.nodes:
            asked, lost = node.samples_asked, node.samples_lost
            if not asked or not lost:
                continue
            of_all = lost / result.samples_asked if result.samples_asked else None
            share = f", {100 * of_all:.0f} % of all {number(result.samples_asked)}" if of_all is not None else ""
            yield Finding(
                rule="lost-samples",
                severity="critical",
                topic="correctness",
                text=f"{result.part}: {node.node} answered {number(node.samples_completed)} of the {number(asked)} "
                f"samples that it was asked; {number(lost)} ({100 * lost / asked:.0f} %{share}) are missing. "
                f"{_cause(node)}",
                figures={
                    "samples_asked": asked,
                    "samples_completed": node.samples_completed,
                    "samples_lost": lost,
                    "lost_share_of_node": lost / asked,
                    "lost_share_of_all": of_all,
                },
                advice=f"Find out why {node.node} lost samples before using any figure of this benchmark: "
                f"see {node.log or node.directory or 'the log of its worker'}.",
                part=result.part,
                node=node.node,
            )
        yield from _lost_by_the_run(result)


def _lost_by_the_run(result: ClusterResult) -> Iterator[Finding]:
    """Lost samples that no node accounts for."""
    unplaced = (result.samples_lost or 0) - sum(node.samples_lost or 0 for node in result.nodes)
    if unplaced <= 0:
        return
    yield Finding(
        rule="lost-samples",
        severity="critical",
        topic="correctness",
        text=f"{result.part}: {number(unplaced)} of {number(result.samples_issued)} samples were lost.",
        figures={"samples_issued": result.samples_issued, "samples_lost": unplaced},
        advice="Find out why before using any figure of this benchmark.",
        part=result.part,
    )


def _cause(node: NodeResult) -> str:
    if node.problem:
        return f"{node.problem[0].upper()}{brief(node.problem)[1:].rstrip('.')}."
    reasons = dict.fromkeys(f"worker {lost.worker}: {lost.reason}" for lost in node.lost_workers)
    return f"{'; '.join(reasons)}." if reasons else "No cause was recorded."


def missing_nodes(record: ExecutionRecord) -> Iterator[Finding]:
    """Nodes that were asked and answered nothing."""
    for result in record.results:
        part = record.part(result.part)
        if result.nodes_asked is None or result.nodes_active >= result.nodes_asked:
            continue
        if part is not None and part.status == "interrupted":  # no node's fault
            continue
        idle = [node for node in result.nodes if not node.samples_completed]
        told = "; ".join(f"{node.node}: {brief(node.problem or 'no sample completed')}" for node in idle)
        yield Finding(
            rule="missing-nodes",
            severity="critical",
            topic="correctness",
            text=f"{result.part}: {result.nodes_active} of {result.nodes_asked} nodes answered samples. {told}",
            figures={"nodes_asked": result.nodes_asked, "nodes_active": result.nodes_active},
            advice=f"Bring back {', '.join(node.node for node in idle) or 'the missing nodes'}, or ask fewer nodes.",
            part=result.part,
            node=idle[0].node if len(idle) == 1 else None,
        )


def lost_workers(record: ExecutionRecord) -> Iterator[Finding]:
    """Workers that were given up in any run, though others may have done their samples."""
    told = set()
    for result in record.results:
        for node in result.nodes:
            for lost in node.lost_workers:
                told.add((result.part, lost.worker, lost.time_s))
                yield _lost_worker(lost, part=result.part, node=node.node)
    for part in record.parts:
        for run in part.runs:
            for lost in run.lost_workers:
                if lost.node and (part.name, lost.worker, lost.time_s) not in told:
                    yield _lost_worker(lost, part=part.name, node=lost.node, run=f" in {run.name}")


def _lost_worker(lost: LostWorker, *, part: str, node: str, run: str = "") -> Finding:
    back = lost.samples_returned or 0
    return Finding(
        rule="lost-worker",
        severity="warning",
        topic="correctness",
        text=f"{part}: worker {lost.worker} on {node} was lost{run}: {lost.reason}; "
        f"{number(back)} of its samples went to others.",
        figures={"samples_returned": back},
        advice=f"See the log of worker {lost.worker} on {node}; the time that was lost is in the figures.",
        part=part,
        node=node,
    )


def bad_responses(record: ExecutionRecord) -> Iterator[Finding]:
    """Answers without content, and attempts that gave no usable one."""
    for result in record.results:
        found = result.quality
        if found is None or not (found.empty or found.failed):
            continue
        yield Finding(
            rule="bad-responses",
            severity="warning",
            topic="correctness",
            text=f"{result.part}: {number(found.empty or 0)} of {number(found.responses)} responses are empty, and "
            f"{number(found.failed or 0)} attempts gave no usable output.",
            figures={"responses": found.responses, "empty": found.empty, "failed_attempts": found.failed},
            advice="Score the accuracy of this set-up before measuring its speed: mlperf-llama run --mode accuracy.",
            part=result.part,
        )
