"""samples.parquet: a row a sample of every run of every part, over all nodes, with times by one clock.

For people who go on from here with tools of their own: what events.parquet says of one run, with part, run, node and
GPU beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.execution.times import started
from harness.rundir.columns import SAMPLES, schema
from harness.rundir.execution import PartRun
from harness.rundir.record import RunRecord
from harness.rundir.scaling import MemberOutcome
from mlperf_llama_base.errors import UserError
from mlperf_llama_base.files import replacing

if TYPE_CHECKING:
    import pyarrow as pa

TIMES = ("issue", "dispatch", "first_token", "complete")


def write_samples(directory: Path, file: Path, runs: Mapping[str, Sequence[PartRun]]) -> int:
    """Write ``file`` from the runs of each part below ``directory``; returns the number of rows.

    ``*_s``: Unix time by the clock of the machine with the command (those of a coordinated member corrected by its
    clock's measured offset), NaN where it did not happen. A run whose record is damaged is left out.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [
        pa.table(columns, schema=schema(SAMPLES))
        for part, of_part in runs.items()
        for columns in _columns_of(directory, part, of_part)
    ]
    if not tables:
        return 0
    table: pa.Table = pa.concat_tables(tables)
    with replacing(file) as scratch:
        pq.write_table(table, scratch, compression="zstd")
    return len(table)


def _columns_of(directory: Path, part: str, runs: Sequence[PartRun]) -> Iterator[dict[str, Any]]:
    members = _members(directory / part) if part == "coordinated" else {}
    for shown in runs:
        run = RunRecord(directory / shown.directory)
        member = members.get(run.run_dir.name)
        try:
            columns = _columns(run, member)
        except UserError:
            continue
        if columns:
            count = len(columns["qsl_idx"])
            named = {"part": part, "run": shown.name, "scenario": shown.scenario, "mode": shown.mode}
            yield {name: [text] * count for name, text in named.items()} | columns


def _columns(run: RunRecord, member: MemberOutcome | None) -> dict[str, Any]:
    """Of one run; nothing where it left no samples."""
    events, began = run.events, started(run)
    if events is None or not len(events):
        return {}
    zero = (began or np.nan) - ((member.clock_offset_s if member else None) or 0.0)
    workers = {int(worker.id): worker for worker in run.ran.workers}
    found = [workers.get(int(number)) for number in events.worker]
    return {
        "node": [worker.node if worker else None for worker in found],
        "worker": events.worker,
        "gpu": [worker.gpu if worker else None for worker in found],
        "qsl_idx": events.qsl_idx,
        **{f"{name}_s": getattr(events, name) + zero for name in TIMES},
        "input_tokens": events.input_tokens,
        "output_tokens": events.output_tokens,
        "attempts": events.attempts,
    }


def _members(folder: Path) -> dict[str, MemberOutcome]:
    """Those of a coordinated benchmark, by name, which is also that of their directories."""
    try:
        record = RunRecord(folder).scaling
    except UserError:
        return {}
    return {member.name: member for step in (record.steps if record else []) for member in step.members}
