"""A run as a report looks at it: a view of its record, with what is missing as something empty.

A run that broke or is still going leaves only some of the files; whatever is missing is empty and its section left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from harness.config import Benchmark, Mode, Scenario
from harness.rounds import ROUND
from harness.rundir import names
from harness.rundir.endpoints import CurveRecord
from harness.rundir.events import Events, Floats
from harness.rundir.foreign import find_runs, is_endpoints, is_run_dir, no_run
from harness.rundir.record import RunRecord
from harness.rundir.result import Result
from harness.rundir.scaling import ScalingRecord
from harness.rundir.scores import RougeScores
from harness.rundir.session import Samples, SessionRecord, Worker
from harness.rundir.status import Status
from harness.rundir.tuning import TuneRecord
from mlperf_llama_base.errors import UserError

if TYPE_CHECKING:
    from harness.rundir.energy import Energy

__all__ = ["Events", "Floats", "RunData", "load"]
Series = dict[tuple[str, str, str], tuple[Floats, Floats]]


class RunData:
    """One run. What is missing is None, or a record without anything in it. Raises ``UserError`` for a damaged one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.record = RunRecord(directory)

    @property
    def config(self) -> dict[str, Any]:
        return self.record.config

    @property
    def is_foreign(self) -> bool:
        """Another harness's: LoadGen's logs are all there is."""
        return self.record.is_foreign

    @cached_property
    def result(self) -> Result | None:
        """result.json as it was written; of another harness's logs, what they come to."""
        if not self.is_foreign:
            return self.record.result
        from harness.verdict.result import result_of

        return result_of(self.directory)

    @cached_property
    def session(self) -> SessionRecord:
        return self.record.ran

    @property
    def status(self) -> Status | None:
        return self.record.status

    @property
    def tune(self) -> TuneRecord | None:
        return self.record.tune

    @property
    def scaling(self) -> ScalingRecord | None:
        return self.record.scaling

    @property
    def curve(self) -> CurveRecord | None:
        return self.record.curve

    @property
    def accuracy(self) -> RougeScores | None:
        """The scores: the scorer's own file, or else what the result has of them."""
        return self.record.accuracy or (self.result.accuracy if self.result else None)

    @property
    def valid(self) -> bool:
        return self.result is not None and self.result.valid

    @property
    def workers(self) -> list[Worker]:
        return (self.result.workers if self.result else []) or self.session.workers

    @property
    def samples(self) -> Samples:
        return self.result.samples if self.result else self.session.samples

    @property
    def restarts(self) -> int:
        """Of workers, over the whole run."""
        told = self.result.restarts if self.result else self.session.restarts
        return told if told is not None else sum(worker.restarts or 0 for worker in self.workers)

    @property
    def seconds(self) -> float | None:
        """How long the test took."""
        return self.session.wall_s or (self.events.duration if self.events is not None else None)

    @property
    def events(self) -> Events | None:
        return self.record.events

    @property
    def energy(self) -> Energy | None:
        return self.record.energy

    @property
    def scores(self) -> dict[str, npt.NDArray[Any]] | None:
        return self.record.scores

    @cached_property
    def metrics(self) -> Series | None:
        """Times and values of what the monitor measured, by node, source and name."""
        if self.record.metrics is None:
            return None
        from harness.rundir.energy import series

        return series(self.record.metrics)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What does not change of each node's sources (names of GPUs, power limits)."""
        table = self.record.metrics
        found = json.loads((table.schema.metadata or {}).get(b"facts", b"{}")) if table is not None else {}
        return found if isinstance(found, dict) else {}

    @property
    def scenario(self) -> Scenario:
        return self.record.scenario

    @property
    def mode(self) -> Mode:
        return self.record.mode

    @property
    def benchmark(self) -> Benchmark:
        return self.record.benchmark

    @property
    def name(self) -> str:
        return str(self.directory) if self.is_foreign else self.directory.resolve().name

    @property
    def limits_ms(self) -> dict[str, float | None]:
        """TTFT and TPOT limits of the scenario, None where it has none."""
        ttft, tpot = ROUND.limits_ns.get(self.scenario, (None, None))
        return {"ttft": ttft / 1e6 if ttft else None, "tpot": tpot / 1e6 if tpot else None}

    def percentile_ms(self, which: str, percent: str = "p99") -> float | None:
        """A percentile as LoadGen measured it (``which``: ttft, tpot, latency), None where there is none."""
        figures = getattr(self.result, f"{which}_ms", None)
        return getattr(figures, percent, None)

    @property
    def gpu_names(self) -> list[str]:
        """Name of each GPU that was sampled, or else of each worker's."""
        sampled = [
            str(fact["name"])
            for node in self.facts.values()
            for source, fact in sorted(node.items())
            if source.startswith("gpu") and fact.get("name")
        ]
        return sampled or [worker.gpu for worker in self.session.workers or self.workers if worker.gpu]


def load(directory: Path) -> RunData:
    """The run in ``directory``. Raises ``UserError`` if there is none, or if it cannot be read."""
    if not directory.is_dir():
        raise UserError(f"{directory} is not a directory; give the --output of a run")
    run = RunData(directory)
    record = run.record
    if run.is_foreign or record.scaling or record.tune or record.execution or record.curve:
        return run
    if is_endpoints(directory):
        raise no_run(directory)
    if not any((run.config, run.result, record.session, run.status, record.accuracy)):
        raise UserError(f"{directory} holds no run: it has no result.json, session.json, status.json or config.yaml")
    return run


def load_all(directories: Sequence[Path]) -> tuple[list[RunData], list[str]]:
    """The runs in ``directories``, or below those that are no run's themselves; and why others there are not read.

    Raises ``UserError`` for a directory that is not there, holds no run, or holds none that can be read.
    """
    runs: list[RunData] = []
    unread: list[str] = []
    for directory in directories:
        if not directory.is_dir() or _is_one(directory):
            runs.append(load(directory))
            continue
        found = find_runs([directory])
        for path in found:
            try:
                runs.append(load(path))
                _ = runs[-1].scenario  # of another benchmark, perhaps
            except UserError as error:
                if len(found) == 1:
                    raise
                runs = [run for run in runs if run.directory != path]
                unread.append(str(error))
    if not runs:
        raise UserError(unread[0])
    return runs, unread


def _is_one(directory: Path) -> bool:
    """A directory that :func:`load` has something to say about."""
    whole = (names.TUNE, names.SCALING, names.EXECUTION, names.ENDPOINTS)
    ours = (names.RESULT, names.STATUS, names.ACCURACY_JSON, *whole)
    return is_run_dir(directory) or is_endpoints(directory) or any((directory / name).is_file() for name in ours)
