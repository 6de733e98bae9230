"""Read a run directory into memory, once. Everything a report says comes from here.

A run that broke or is still going leaves only some of the files; whatever is missing is empty and its section left out.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.config import Benchmark, Scenario
from harness.rounds import ROUND
from harness.rundir.record import read_mapping
from mlperf_llama_base.errors import UserError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Series = dict[tuple[str, str, str], tuple[Floats, Floats]]


@dataclass(frozen=True, kw_only=True)
class Events:
    """A row a completed sample, shape [n] each. Times in seconds since the first issue; NaN: never happened."""

    qsl_idx: Ints
    issue: Floats
    dispatch: Floats
    first_token: Floats
    complete: Floats
    input_tokens: Ints
    output_tokens: Ints
    worker: Ints
    attempts: Ints

    @cached_property
    def latency(self) -> Floats:
        """Seconds from issue to completion, as the harness saw it."""
        return self.complete - self.issue

    @cached_property
    def ttft(self) -> Floats:
        """Seconds from issue to first token."""
        return self.first_token - self.issue

    @cached_property
    def tpot(self) -> Floats:
        """Seconds for each token after the first; NaN for samples of one token."""
        after = np.where(self.output_tokens > 1, self.output_tokens - 1, np.nan)
        return np.asarray((self.complete - self.first_token) / after)

    @property
    def duration(self) -> float:
        """Seconds from the first issue to the last completion."""
        return float(np.nanmax(self.complete)) if len(self.complete) else 0.0

    @property
    def has_first_tokens(self) -> bool:
        return bool(np.isfinite(self.first_token).any())


@dataclass(frozen=True, kw_only=True)
class RunData:
    """One run. Mappings are empty, arrays None, where the file is missing."""

    directory: Path
    result: dict[str, Any]
    session: dict[str, Any]
    status: dict[str, Any]
    config: dict[str, Any]
    accuracy: dict[str, Any]
    tune: dict[str, Any]
    scaling: dict[str, Any]
    events: Events | None
    metrics: Series | None
    facts: dict[str, Any]
    energy: Any
    scores: dict[str, npt.NDArray[Any]] | None

    @property
    def name(self) -> str:
        return self.directory.resolve().name

    @cached_property
    def scenario(self) -> Scenario:
        named = self.result.get("scenario") or self.config.get("scenario") or self.session.get("scenario")
        known = str(named or self.status.get("scenario") or Scenario.OFFLINE).lower()
        return Scenario(known) if known in list(Scenario) else Scenario.OFFLINE

    @property
    def mode(self) -> str:
        return str(self.result.get("mode") or self.config.get("mode") or self.status.get("mode") or "performance")

    @property
    def benchmark(self) -> Benchmark:
        named = self.config.get("benchmark")
        edge = named == Benchmark.EDGE or str(self.result.get("model_name", "")).endswith("-edge")
        return Benchmark.EDGE if edge else Benchmark.DATACENTER

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
                if source.get(name) is not None:
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
    """Read a run directory. Raises ``UserError`` if it is none, or if a file in it is damaged."""
    if not directory.is_dir():
        raise UserError(f"{directory} is not a directory; give the --output of a run")
    texts = {
        name: read_mapping(directory / f"{name}.json") or {}
        for name in ("result", "session", "status", "accuracy", "tune", "scaling")
    }
    config = read_mapping(directory / "config.yaml") or {}
    if not (config or any(texts.values())):
        raise UserError(f"{directory} holds no run: it has no result.json, session.json, status.json or config.yaml")
    table, found = _read_metrics(directory), None
    facts: dict[str, Any] = {}
    series = None
    if table is not None:
        from harness.monitor.energy import energy_of
        from harness.monitor.energy import series as series_of

        facts = json.loads((table.schema.metadata or {}).get(b"facts", b"{}"))
        series, found = series_of(table), energy_of(table, texts["session"])
    return RunData(
        directory=directory,
        config=config,
        events=read_events(directory / "events.parquet"),
        metrics=series,
        facts=facts,
        energy=found,
        scores=_columns(directory / "accuracy_samples.parquet"),
        **texts,
    )


def read_events(path: Path) -> Events | None:
    """Read events.parquet; None if it is missing. Samples that never completed are left out."""
    columns = _columns(path)
    if columns is None:
        return None
    try:
        done = np.isfinite(np.asarray(columns["complete_ns"], dtype=np.float64))
        issue, dispatch, first_token, complete = (
            np.asarray(columns[name], dtype=np.float64)[done] / 1e9
            for name in ("issue_ns", "dispatch_ns", "first_token_ns", "complete_ns")
        )
        qsl_idx, input_tokens, output_tokens, worker, attempts = (
            columns[name][done].astype(np.int64)
            for name in ("qsl_idx", "input_tokens", "output_tokens", "worker", "attempts")
        )
    except KeyError as error:
        raise UserError(f"{path} has no column {error}; it is not of this program") from error
    return Events(
        qsl_idx=qsl_idx,
        issue=issue,
        dispatch=dispatch,
        first_token=first_token,
        complete=complete,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        worker=worker,
        attempts=attempts,
    )


def _columns(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    if not path.is_file():
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())[:120]}") from error
    return {name: table[name].to_numpy() for name in table.schema.names}


def _read_metrics(directory: Path) -> Any:
    import pyarrow as pa

    from harness.monitor.store import read_metrics

    try:
        return read_metrics(directory)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{directory}/metrics.parquet is damaged: {' '.join(str(error).split())[:120]}") from error
