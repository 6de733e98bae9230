"""A run as a report looks at it: a view of its record, with what is missing as something empty.

A run that broke or is still going leaves only some of the files; whatever is missing is empty and its section left out.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy.typing as npt

from harness.config import Benchmark, Mode, Scenario
from harness.rounds import ROUND
from harness.rundir import names
from harness.rundir.events import Events, Floats
from harness.rundir.files import read_mapping
from harness.rundir.record import RunRecord
from mlperf_llama_base.errors import UserError

if TYPE_CHECKING:
    from harness.rundir.energy import Energy

__all__ = ["Events", "Floats", "RunData", "load"]
Series = dict[tuple[str, str, str], tuple[Floats, Floats]]
Tree = dict[str, Any]


class RunData:
    """One run. Mappings are empty, arrays None, where the file is missing. Raises ``UserError`` for a damaged one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.record = RunRecord(directory)

    @property
    def config(self) -> Tree:
        return self.record.config

    @cached_property
    def result(self) -> Tree:
        """result.json as it was written, with every field that it can have."""
        return _tree(self.record.result)

    @property
    def session(self) -> Tree:
        return self.record.session_tree

    @cached_property
    def status(self) -> Tree:
        return _tree(self.record.status)

    @cached_property
    def accuracy(self) -> Tree:
        return _tree(self.record.accuracy)

    @cached_property
    def tune(self) -> Tree:
        return read_mapping(self.directory / names.TUNE) or {}

    @cached_property
    def scaling(self) -> Tree:
        return _tree(self.record.scaling)

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
    def facts(self) -> Tree:
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
        return self.directory.resolve().name

    @property
    def limits_ms(self) -> dict[str, float | None]:
        """TTFT and TPOT limits of the scenario, None where it has none."""
        ttft, tpot = ROUND.limits_ns.get(self.scenario, (None, None))
        return {"ttft": ttft / 1e6 if ttft else None, "tpot": tpot / 1e6 if tpot else None}

    def percentile_ms(self, which: str, percent: str = "p99") -> float | None:
        """A percentile as LoadGen measured it (``which``: ttft, tpot, latency), None where there is none."""
        value = (self.result.get(f"{which}_ms") or {}).get(percent)
        return None if value is None else float(value)

    def first(self, *names: str) -> Any:
        """The first of the names that result.json or session.json knows."""
        for name in names:
            for source in (self.result, self.session):
                if source.get(name) not in (None, [], {}):
                    return source[name]
        return None

    @property
    def gpu_names(self) -> list[str]:
        """Name of each GPU that was sampled, or else of each worker's."""
        sampled = [
            str(fact["name"])
            for node in self.facts.values()
            for source, fact in sorted(node.items())
            if source.startswith("gpu") and fact.get("name")
        ]
        workers = self.session.get("workers") or self.result.get("workers") or []
        return sampled or [str(worker["gpu"]) for worker in workers if worker.get("gpu")]


def load(directory: Path) -> RunData:
    """The run in ``directory``. Raises ``UserError`` if there is none, or if what tells so is damaged."""
    if not directory.is_dir():
        raise UserError(f"{directory} is not a directory; give the --output of a run")
    run = RunData(directory)
    if not any((run.config, run.result, run.session, run.status, run.accuracy, run.tune, run.scaling)):
        raise UserError(f"{directory} holds no run: it has no result.json, session.json, status.json or config.yaml")
    return run


def _tree(record: msgspec.Struct | None) -> Tree:
    """A record as plain data, empty if there is none."""
    tree: Tree = {} if record is None else msgspec.to_builtins(record)
    return tree
