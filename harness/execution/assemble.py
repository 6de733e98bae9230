"""execution.json from what the parts left: a function of directories and of what was measured between the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.execution.conclude import achievements, conclusion, recommendations
from harness.execution.environment import environment
from harness.execution.findings import findings
from harness.execution.measured import Ran, Source, load_scaling, measured, runs_of
from harness.execution.speed_up import scaling_of
from harness.rundir.execution import (
    Asked,
    Cause,
    ClusterNode,
    ExecutionRecord,
    Infrastructure,
    Part,
    PartName,
    PartRun,
)
from harness.rundir.execution_results import ClusterResult
from harness.rundir.foreign import find_runs
from harness.rundir.record import RunRecord
from harness.rundir.scaling import ScalingRecord
from mlperf_llama_base.errors import UserError

ORDER: tuple[PartName, ...] = ("coordinated", "distributed", "datacenter")
"""Which part's figures stand for the cluster: the first of these that measured something."""


def assemble(
    directory: Path,
    *,
    time: str,
    parts: Sequence[Part],
    nodes: Sequence[ClusterNode],
    cluster: str | None,
    asked: Asked,
    infrastructure: Infrastructure,
    duration_s: float | None = None,
    command: str | None = None,
    interrupted: str | None = None,
) -> ExecutionRecord:
    """Everything that execution.json holds.

    ``directory``: the whole benchmark's; ``parts`` name theirs relative to it, with what they came to (``runs`` are
    filled in here). ``time``: ISO 8601, UTC. A part that left nothing, or something damaged, is no error.
    """
    looked = {part.name: _look(directory, part, asked) for part in parts}
    by_name = {name: found.result for name in ORDER if (found := looked.get(name)) and found.result is not None}
    coordinated = looked.get("coordinated")
    record = ExecutionRecord(
        time=time,
        duration_s=duration_s,
        command=command,
        interrupted=interrupted,
        asked=asked,
        parts=[looked[part.name].part for part in parts],
        environment=environment(cluster, nodes, [run.record for found in looked.values() for run in found.runs]),
        results=[result for result in by_name.values() if result is not None],
        scaling=scaling_of(coordinated.scaling if coordinated else None, by_name.get("distributed")),
        infrastructure=infrastructure,
    )
    return concluded(record)


@dataclass(frozen=True, kw_only=True)
class _Looked:
    """What was found of a part."""

    part: Part
    runs: Sequence[Ran] = ()
    scaling: ScalingRecord | None = None
    result: ClusterResult | None = None


def _look(directory: Path, part: Part, asked: Asked) -> _Looked:
    if part.directory is None or not (directory / part.directory).is_dir():
        return _Looked(part=part)
    folder, together = directory / part.directory, part.name == "coordinated"
    try:
        scaling, runs = load_scaling(folder), runs_of(folder, coordinated=together)
        if part.status == "interrupted":  # what it had done of a test is told, and is no figure
            runs = [run for run in runs if run.record.result is not None and not together]
        samples = asked.samples_per_node if together else None
        source = Source(
            part=part.name,
            runs=runs,
            root=directory,
            nodes_asked=asked.nodes,
            samples_asked=samples,
            scaling=scaling,
            folder=part.directory,
        )
        filled = msgspec.structs.replace(part, runs=part.runs or _part_runs(directory, folder))
        return _Looked(part=filled, runs=runs, scaling=scaling, result=measured(source))
    except UserError as error:  # a damaged file, which the error names
        cause = part.cause or Cause(first_error=str(error))
        return _Looked(part=msgspec.structs.replace(part, cause=cause))


def concluded(record: ExecutionRecord) -> ExecutionRecord:
    """The record with what follows from its figures: findings, recommendations, achievements, conclusion."""
    record = msgspec.structs.replace(record, findings=findings(record))
    record = msgspec.structs.replace(record, recommendations=recommendations(record.findings))
    return msgspec.structs.replace(record, achievements=achievements(record), conclusion=conclusion(record))


def _part_runs(root: Path, folder: Path) -> list[PartRun]:
    """Every run below a part's directory, baselines and short ones among them, as its result.json has it."""
    try:
        found = find_runs([folder])
    except UserError:
        return []
    return [_part_run(RunRecord(run), root=root, folder=folder) for run in found]


def _part_run(run: RunRecord, *, root: Path, folder: Path) -> PartRun:
    shown = PartRun(
        name=run.run_dir.relative_to(folder).as_posix() if run.run_dir != folder else folder.name,
        directory=run.run_dir.relative_to(root).as_posix(),
        scenario=str(run.scenario),
        mode=str(run.mode),
        seconds=run.ran.wall_s,
        lost_workers=run.ran.lost_workers,
    )
    if run.result is None:
        error = run.ran.error
        return msgspec.structs.replace(shown, valid=None, invalid_reasons=[error] if error else [])
    result = run.result
    return msgspec.structs.replace(
        shown,
        valid=result.valid,
        state=result.state,
        submittable=result.submittable,
        samples_per_second=result.samples_per_second,
        tokens_per_second=result.tokens_per_second,
        ttft_p99_ms=result.ttft_ms.p99 if result.ttft_ms else None,
        tpot_p99_ms=result.tpot_ms.p99 if result.tpot_ms else None,
        rouge_l=result.accuracy.rougeL if result.accuracy else None,
        invalid_reasons=result.invalid_reasons,
    )
