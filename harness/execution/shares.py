"""Each node's and each worker's share of a run."""

from __future__ import annotations

import msgspec

from harness.execution.times import request_time, started
from harness.execution.use import use_by_node
from harness.rundir.events import Events
from harness.rundir.execution_results import NodeResult, Use, WorkerRate
from harness.rundir.record import RunRecord
from harness.rundir.scaling import MemberOutcome, Rate
from harness.rundir.session import Worker
from harness.scaling.figures import rate
from harness.text import number


def node_results(run: RunRecord, node: str | None, *, directory: str, first: float | None = None) -> list[NodeResult]:
    """Of a LoadGen of its own (``node`` names it) one, else one for each node that its workers were on.

    ``first``: Unix time at which the first of all LoadGens began.
    """
    uses, workers = use_by_node(run), run.ran.workers
    if node is not None:
        use = uses.get(node) or (next(iter(uses.values())) if len(uses) == 1 else Use())
        found = [_share(run, node, workers, use, directory=directory, first=first)]
        counts = run.ran.samples
        found[0].samples_asked, found[0].samples_lost = counts.issued, counts.lost
        found[0].samples_retried = counts.retried
        found[0].model = run.ran.model.digest if run.ran.model else None
        found[0].valid = run.result.valid if run.result else None
        if run.ran.outcome not in (None, "completed"):
            found[0].problem = run.ran.error
        return found
    by_node: dict[str, list[Worker]] = {}
    for worker in workers:
        by_node.setdefault(worker.node or "?", []).append(worker)
    return [
        _share(run, name, those, uses.get(name) or Use(), directory=directory, first=first)
        for name, those in by_node.items()
    ]


def _share(
    run: RunRecord, node: str, workers: list[Worker], use: Use, *, directory: str, first: float | None
) -> NodeResult:
    mine = {worker.id for worker in workers}
    every = run.events
    events = every.of([int(worker) for worker in mine]) if every is not None else None
    lost = [one for one in run.ran.lost_workers if one.worker in mine and one.node in (None, node)]
    returned = sum(one.samples_returned or 0 for one in lost)
    memory = [worker.rss_bytes for worker in workers if worker.rss_bytes is not None]
    found = NodeResult(
        node=node,
        directory=directory,
        workers=len(workers),
        gpus=sum(worker.gpu is not None for worker in workers),
        use=use,
        lost_workers=lost,
        rss_bytes=sum(memory) if memory else None,
    )
    if events is None or every is None:
        return found
    found.samples_completed = len(events)
    found.samples_asked = len(events) + returned
    found.samples_lost = 0 if not returned else None  # they went to others: nobody's loss unless the run's
    found.samples_retried = returned
    if len(events):
        found.seconds = events.duration
        found.samples_per_second = len(events) / every.duration if every.duration else None
        found.tokens_per_second = rate(events, seconds=every.duration)
        found.request_s = request_time(events)
    return _placed(found, run, events, first)


def _placed(found: NodeResult, run: RunRecord, events: Events, first: float | None) -> NodeResult:
    began = started(run)
    found.start_s = began - first if began is not None and first is not None else None
    if found.start_s is not None and len(events):
        found.end_s = found.start_s + events.duration
    return found


def with_outcome(found: NodeResult | None, member: MemberOutcome, samples: int | None, *, folder: str) -> NodeResult:
    """A member's figures, and what the coordinated benchmark heard of it: of one that broke that is all there is.

    ``folder``: the benchmark's, which its log is relative to.
    """
    node = found or NodeResult(node=member.name)
    if member.began_s is not None and node.start_s is not None:  # by one clock, with the members' offsets taken out
        lasted = (node.end_s or node.start_s) - node.start_s
        node.start_s, node.end_s = member.began_s, member.began_s + lasted
    if member.status in ("ok", "invalid"):
        return msgspec.structs.replace(node, problem=node.problem or (member.error if member.error else None))
    asked = node.samples_asked or member.expected or member.issued or samples
    done = max(node.samples_completed, member.completed)
    when = f"{member.at_s:.1f} s after the start" if member.at_s is not None else None
    what = f"it broke {when}" if when else "it never started"
    return msgspec.structs.replace(
        node,
        valid=False,
        samples_asked=asked,
        samples_completed=done,
        samples_lost=asked - done if asked is not None else None,
        seconds=node.seconds or member.at_s,
        log=f"{folder}/{member.log}" if member.log else None,
        problem=f"{what}, with {number(done)} of {number(asked)} samples done: {member.error or 'no word of it'}",
    )


def worker_rates(run: RunRecord, node: str | None) -> list[WorkerRate]:
    """Of every worker of the run. ``node``: prefix of its ids where several LoadGens number theirs from 0."""
    events = run.events
    found = []
    for worker in run.ran.workers:
        mine = events.of([int(worker.id)]) if events is not None else None
        found.append(
            WorkerRate(
                id=f"{node}/{worker.id}" if node else str(worker.id),
                node=node or worker.node,
                gpu=worker.gpu,
                samples_completed=len(mine) if mine is not None else worker.samples or 0,
                tokens_per_second=rate(mine, seconds=events.duration) if mine is not None and events else None,
                busy_fraction=worker.busy_fraction,
                rss_bytes=worker.rss_bytes,
            )
        )
    return found


def whole_rate(run: RunRecord) -> Rate | None:
    """Output tokens per second of one LoadGen."""
    return rate(run.events, seconds=run.events.duration) if run.events is not None else None
