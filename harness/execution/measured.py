"""What a part measured over all nodes, from the run directories that it left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.config import Mode, Scenario
from harness.execution import shares
from harness.execution.quality import quality
from harness.execution.times import request_time, started
from harness.rundir import names
from harness.rundir.events import Events, Ints
from harness.rundir.execution_results import (
    ClusterResult,
    LoadGenProcess,
    NodeResult,
    TokenFigures,
    WorkerRate,
)
from harness.rundir.foreign import find_runs, is_run_dir
from harness.rundir.record import RunRecord
from harness.rundir.scaling import MemberOutcome, Rate, ScalingRecord, TokenSummary
from harness.scaling.figures import token_summary
from mlperf_llama_base.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A run of a part. ``node``: the one that it is of; None: one LoadGen over several nodes."""

    node: str | None
    directory: Path
    record: RunRecord


def runs_of(folder: Path, *, coordinated: bool) -> list[Ran]:
    """The runs that the figures of a part come from, baselines left out; empty where nothing was left.

    Of a campaign the performance run of one scenario, Offline where there is one.
    """
    if not folder.is_dir():
        return []
    if not coordinated and is_run_dir(folder):
        return [Ran(node=None, directory=folder, record=RunRecord(folder))]
    try:
        found = [run for run in find_runs([folder]) if not run.name.startswith(names.BASELINE)]
    except UserError:
        return []
    if coordinated:
        return [Ran(node=run.name, directory=run, record=RunRecord(run)) for run in found]
    runs = [Ran(node=None, directory=run, record=RunRecord(run)) for run in found if run.name != "smoke"]
    speed = [run for run in runs if run.record.mode is Mode.PERFORMANCE and run.record.events is not None]
    return sorted(speed, key=lambda run: run.record.scenario is not Scenario.OFFLINE)[:1]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the figures of a part come from, and what it was to do. Directories are told relative to ``root``.

    ``folder``: of the part. ``samples_asked``: of each LoadGen, None: not known. ``scaling``: the coordinated
    benchmark's own record, which knows the members that broke or never started.
    """

    part: str
    runs: Sequence[Ran]
    root: Path
    nodes_asked: Sequence[str]
    samples_asked: int | None = None
    scaling: ScalingRecord | None = None
    folder: str = ""

    @property
    def members(self) -> dict[str, MemberOutcome]:
        """By name; empty where one LoadGen ran over all nodes."""
        return {m.name: m for m in self.scaling.steps[-1].members} if self.scaling and self.scaling.steps else {}


def measured(source: Source) -> ClusterResult | None:
    """Everything that one part measured over all nodes; None if it left nothing."""
    runs, members = source.runs, source.members
    if not runs and not members:
        return None
    nodes = _nodes(source)
    events = [run.record.events for run in runs if run.record.events is not None]
    workers = [rate for run in runs for rate in shares.worker_rates(run.record, run.node)]
    limit = next((n for run in runs if (n := run.record.setting("engine", "max_new_tokens"))), None)
    found = ClusterResult(
        part=source.part,
        scenario=next((str(run.record.scenario) for run in runs), None),
        directories=[run.directory.relative_to(source.root).as_posix() for run in runs],
        valid=_valid(runs, members),
        too_short=_too_short(runs, members),
        invalid_reasons=list(_reasons(runs)),
        seconds=max((e.duration for e in events), default=None),
        start_spread_ms=_spread(nodes) if len(runs) > 1 else None,
        tokens_per_second=_total_rate(runs, nodes),
        request_s=request_time(joined(events)) if events else None,
        nodes=nodes,
        worker_rates=workers,
        tokens=_tokens(events, workers),
        quality=quality([(run.node, run.record) for run in runs], max_new_tokens=limit),
        loadgen=[_process(run) for run in runs if run.record.ran.process],
    )
    return _with_counts(found, source)


def _with_counts(found: ClusterResult, source: Source) -> ClusterResult:
    """What is counted over nodes and runs."""
    runs, nodes, workers = source.runs, found.nodes, found.worker_rates
    found.nodes_asked = len(source.nodes_asked) or 1  # none named: one machine, in shares
    found.nodes_active = sum(node.samples_completed > 0 for node in nodes)
    if not source.nodes_asked:
        found.nodes_active = min(found.nodes_active, 1)
    found.workers, found.gpus = len(workers), sum(worker.gpu is not None for worker in workers)
    of_nodes = source.members or any(run.node for run in runs)
    found.samples_issued = _count(
        [node.samples_asked for node in nodes] if of_nodes else [run.record.ran.samples.issued for run in runs]
    )
    found.samples_asked = found.samples_issued
    if of_nodes and source.samples_asked is not None:
        found.samples_asked = max(source.samples_asked * len(nodes), found.samples_issued or 0)
    found.samples_completed = sum(node.samples_completed for node in nodes)
    found.samples_lost = _count(
        [node.samples_lost for node in nodes] if of_nodes else [run.record.ran.samples.lost for run in runs]
    )
    found.samples_retried = _count([run.record.ran.samples.retried for run in runs])
    found.samples_per_second = _sum([node.samples_per_second for node in nodes])
    found.gpu_memory_used_bytes = _known_sum([node.use.gpu_memory_used_bytes for node in nodes])
    found.gpu_memory_total_bytes = _known_sum([node.use.gpu_memory_total_bytes for node in nodes])
    return found


def _reasons(runs: Sequence[Ran]) -> Iterator[str]:
    for run in runs:
        for reason in run.record.result.invalid_reasons if run.record.result else []:
            yield f"{run.node}: {reason}" if run.node else reason


def _nodes(source: Source) -> list[NodeResult]:
    """Every node that was asked, in that order, and those beyond that were found."""
    first = min((at for run in source.runs if (at := started(run.record)) is not None), default=None)
    found: dict[str, NodeResult] = {}
    for run in source.runs:
        where = run.directory.relative_to(source.root).as_posix()
        for node in shares.node_results(run.record, run.node, directory=where, first=first):
            found[node.node] = node
    for name, member in source.members.items():
        found[name] = shares.with_outcome(found.get(name), member, source.samples_asked, folder=source.folder)
    for name in source.nodes_asked:
        found.setdefault(name, NodeResult(node=name, samples_completed=0, problem="it took no part"))
    return [found[name] for name in dict.fromkeys([*source.nodes_asked, *found])]


def _valid(runs: Sequence[Ran], members: dict[str, MemberOutcome]) -> bool | None:
    if any(member.status != "ok" for member in members.values()):
        return False
    verdicts = [run.record.result.valid if run.record.result else None for run in runs]
    return False if False in verdicts else None if None in verdicts else True


def _too_short(runs: Sequence[Ran], members: dict[str, MemberOutcome]) -> bool:
    """Whether nothing but their length is wrong with those that are not valid."""
    if any(member.status not in ("ok", "invalid") for member in members.values()):
        return False
    results = [run.record.result for run in runs if run.record.result]
    return any(r.too_short for r in results) and all(r.valid or r.too_short for r in results)


def _total_rate(runs: Sequence[Ran], nodes: Sequence[NodeResult]) -> Rate | None:
    """LoadGens add up, with the scatter of independent sums; one LoadGen over all nodes has its own."""
    if len(runs) == 1 and runs[0].node is None:
        return shares.whole_rate(runs[0].record)
    rates = [node.tokens_per_second for node in nodes if node.tokens_per_second is not None]
    if not rates:
        return None
    halves = [rate.ci95 for rate in rates]
    half = None if None in halves else float(np.hypot.reduce([h or 0.0 for h in halves]))
    return Rate(value=sum(rate.value for rate in rates), ci95=half)


def _tokens(events: Sequence[Events], workers: Sequence[WorkerRate]) -> TokenFigures:
    figures = TokenFigures()
    if events:
        together = joined(events)
        figures.input, figures.output = summary(together.input_tokens), summary(together.output_tokens)
        figures.both = summary(together.input_tokens + together.output_tokens)
    speeds = [w.tokens_per_second.value for w in workers if w.tokens_per_second is not None]
    if speeds and sum(speeds):
        mean = sum(speeds) / len(speeds)
        figures.worker_mean, figures.worker_min, figures.worker_max = mean, min(speeds), max(speeds)
        figures.worker_spread = (max(speeds) - min(speeds)) / mean
    return figures


def summary(values: Ints) -> TokenSummary | None:
    """None of nothing."""
    return token_summary(values) if len(values) else None


def joined(events: Sequence[Events]) -> Events:
    """The samples of several tests in one table, each with the times of its own."""
    columns = Events.__dataclass_fields__
    return Events(**{name: np.concatenate([getattr(e, name) for e in events]) for name in columns})


def _spread(nodes: Sequence[NodeResult]) -> float | None:
    """Milliseconds from the first LoadGen's start to the last's; None of fewer than two."""
    times = [node.start_s for node in nodes if node.start_s is not None]
    return (max(times) - min(times)) * 1e3 if len(times) > 1 else None


def _process(run: Ran) -> LoadGenProcess:
    process, wall = run.record.ran.process, run.record.ran.wall_s
    assert process is not None
    return LoadGenProcess(
        node=run.node,
        cpu_share=process.test_cpu_s / wall if wall and process.test_cpu_s is not None else None,
        peak_rss_bytes=process.peak_rss_bytes,
    )


def _count(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _known_sum(values: Sequence[float | None]) -> float | None:
    """None where one is not known: a sum of some would be taken for that of all."""
    return sum(v or 0.0 for v in values) if values and None not in values else None


def load_scaling(folder: Path) -> ScalingRecord | None:
    """The scaling.json in ``folder``."""
    return RunRecord(folder).scaling if (folder / names.SCALING).is_file() else None
