"""Everything that a run left behind: one reader for whoever judges it, reports it or compares it.

Each file is opened when it is first asked for, and once. Missing files are missing evidence, not errors: a run that
broke has few of them. A damaged file is a ``UserError`` of one line, whoever asks.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from harness.config import Benchmark, Mode, Scenario
from harness.loadgen.log import DetailLog, parse_detail
from harness.loadgen.summary import SummaryLog, parse_summary
from harness.loadgen.test06 import LLAMA_3_1_EOS, ComplianceResult, verify
from harness.rounds import ROUND
from harness.rundir import foreign, names
from harness.rundir.endpoints import CurveRecord
from harness.rundir.events import Events, read_columns, read_events
from harness.rundir.execution import ExecutionRecord
from harness.rundir.files import damaged, read_mapping, read_record
from harness.rundir.preflight import PreflightRecord
from harness.rundir.result import Result
from harness.rundir.scaling import ScalingRecord
from harness.rundir.scores import Accuracy
from harness.rundir.session import SessionRecord
from harness.rundir.status import Status
from harness.rundir.system import SystemRecord
from harness.rundir.tuning import TuneRecord
from mlperf_llama_base.errors import UserError, nearest
from mlperf_llama_base.files import sha256_of

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

    from harness.rundir.energy import Energy

Choice = TypeVar("Choice", Scenario, Mode, Benchmark)
Record = TypeVar("Record", bound=msgspec.Struct)
SETTINGS: dict[tuple[str, ...], type] = {  # those of config.yaml that a reader relies on
    ("dataset", "path"): str,
    ("dataset", "limit"): int,
    ("model", "path"): str,
    ("model", "tokenizer"): str,
    ("model", "revision"): str,
    ("engine", "max_new_tokens"): int,
    ("engine", "min_new_tokens"): int,
    ("scorer",): str,
}


class RunRecord:
    """The files of one run directory as types, None for those that are not there.

    Every property raises ``UserError`` where its file is damaged.
    """

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir

    @cached_property
    def config(self) -> dict[str, Any]:
        """config.yaml as plain data: what was asked, which another release may have asked in other words."""
        return {} if self.is_foreign else read_mapping(self.run_dir / names.CONFIG) or {}

    def setting(self, *path: str) -> Any:
        """A value of config.yaml, None if it is not there."""
        node: Any = self.config
        for key in path:
            node = node.get(key) if isinstance(node, dict) else None
        wanted = SETTINGS.get(path)
        if node is not None and wanted is not None and not isinstance(node, wanted):
            what = f"{'.'.join(path)} is {' '.join(str(node).split())[:40]!r}, expected {wanted.__name__}"
            raise damaged(self.run_dir / names.CONFIG, what)
        return node

    def _read(self, name: str, kind: type[Record]) -> Record | None:
        """A file of ours. What another harness calls by the same name is none."""
        return None if self.is_foreign else read_record(self.run_dir / name, kind)

    @cached_property
    def session(self) -> SessionRecord | None:
        return self._read(names.SESSION, SessionRecord)

    @cached_property
    def status(self) -> Status | None:
        return self._read(names.STATUS, Status)

    @cached_property
    def result(self) -> Result | None:
        """As it was written; the verdict is made anew from the other files (``harness.verdict``)."""
        return self._read(names.RESULT, Result)

    @cached_property
    def tune(self) -> TuneRecord | None:
        """Of the directory of a search for the rate."""
        return self._read(names.TUNE, TuneRecord)

    @cached_property
    def scaling(self) -> ScalingRecord | None:
        """Of the directory of a scaling or coordinated benchmark."""
        return self._read(names.SCALING, ScalingRecord)

    @cached_property
    def execution(self) -> ExecutionRecord | None:
        """Of the directory of all benchmarks of a cluster."""
        return self._read(names.EXECUTION, ExecutionRecord)

    @cached_property
    def curve(self) -> CurveRecord | None:
        """Of the directory of MLPerf Endpoints' curve."""
        return self._read(names.ENDPOINTS, CurveRecord)

    @cached_property
    def preflight(self) -> PreflightRecord | None:
        return self._read(names.PREFLIGHT, PreflightRecord)

    @cached_property
    def accuracy(self) -> Accuracy | None:
        """The scores saved by ``harness.accuracy``; of a foreign run those of its accuracy.txt."""
        if self.is_foreign:
            samples = ROUND.benchmarks[self.benchmark].samples
            issued = self.detail.integer("effective_accuracy_sample_count")
            return foreign.foreign_scores(self.run_dir, official=samples, issued=issued)
        try:
            return read_record(self.run_dir / names.ACCURACY_JSON, Accuracy)
        except UserError as error:
            raise UserError(f"{error}: score again with mlperf-llama accuracy {self.run_dir}") from error

    @cached_property
    def system(self) -> SystemRecord | None:
        """What machine it ran on."""
        return self._read(names.SYSTEM, SystemRecord)

    @cached_property
    def detail(self) -> DetailLog:
        return parse_detail(self.run_dir / names.DETAIL_LOG)

    @cached_property
    def summary(self) -> SummaryLog:
        return parse_summary(self.run_dir / names.SUMMARY_LOG)

    @cached_property
    def events(self) -> Events | None:
        return read_events(self.run_dir / names.EVENTS)

    @cached_property
    def scores(self) -> dict[str, npt.NDArray[Any]] | None:
        """Columns of accuracy_samples.parquet: the scores of each sample."""
        return read_columns(self.run_dir / names.ACCURACY_SAMPLES)

    @cached_property
    def metrics(self) -> pa.Table | None:
        """What the monitor measured: t_s, node, source, name, value."""
        import pyarrow as pa

        from harness.rundir.metrics import read_metrics

        try:
            return read_metrics(self.run_dir)
        except (pa.ArrowException, OSError, ValueError, KeyError, RecursionError, MemoryError) as error:
            raise damaged(self.run_dir / names.METRICS, error) from error

    @cached_property
    def energy(self) -> Energy | None:
        """Of the GPUs over the test; None where it was not measured."""
        if self.metrics is None:
            return None
        from harness.rundir.energy import energy_of

        return energy_of(self.metrics, self.ran)

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of LoadGen's logs that are there, by file name."""
        logs = (name for name in names.LOADGEN_LOGS if (self.run_dir / name).is_file())
        return {name: sha256_of(self.run_dir / name) for name in logs}

    @cached_property
    def ran(self) -> SessionRecord:
        """As ``session``, with nothing in it where there is none."""
        return self.session or SessionRecord()

    @property
    def capacity(self) -> int | None:
        """Samples that the engine of a worker works on at once."""
        return self.ran.engine.capacity if self.ran.engine else None

    @property
    def eos_token_ids(self) -> list[int] | None:
        """Those of the model, as its engine reported them; None where that was not recorded."""
        return (self.ran.engine and self.ran.engine.eos_token_ids) or None

    @property
    def is_the_model(self) -> bool:
        """Llama-3.1-8B-Instruct ran, and no other."""
        return self.ran.model is not None and self.ran.model.is_llama_3_1_8b is True

    # -- what kind of run it is ----------------------------------------------------------------------------------

    @cached_property
    def scenario(self) -> Scenario:
        """What was asked for; without any record of that, what LoadGen ran."""
        named = self._named("scenario")
        if named is None and self.is_foreign:
            raise UserError(f"{self.run_dir / names.DETAIL_LOG} names no scenario: it is no whole log of LoadGen's")
        return Scenario.OFFLINE if named is None else self._choice(Scenario, named, "scenario")

    @cached_property
    def mode(self) -> Mode:
        named = self._named("mode")
        if named is None and self.is_foreign and self.detail.audit_config_used:
            return Mode.COMPLIANCE
        if named is None:
            return Mode.ACCURACY if self.detail.text("effective_test_mode") == "AccuracyOnly" else Mode.PERFORMANCE
        return self._choice(Mode, named, "mode")

    @cached_property
    def benchmark(self) -> Benchmark:
        named = self.config.get("benchmark") or self.ran.benchmark
        if named:
            return self._choice(Benchmark, named, "benchmark")
        data = ROUND.benchmarks[Benchmark.EDGE]
        loaded = self.detail.integer("effective_performance_sample_count") if self.is_foreign else None
        edge = (
            self.scenario is Scenario.SINGLESTREAM or self.model_name in data.models.values() or loaded == data.samples
        )
        return Benchmark.EDGE if edge else Benchmark.DATACENTER

    @property
    def model_name(self) -> str | None:
        """LoadGen's model name as the session used it."""
        return self.ran.model_name

    def _named(self, what: str) -> object:
        """The first file that says it: what was asked, what ran, what came out, what LoadGen logged."""
        if self.config.get(what):
            return self.config[what]
        for record in (self.session, self.result, self.status):
            if record is not None and getattr(record, what):
                return getattr(record, what)
        return self._as_logged() if what == "scenario" else None

    def _as_logged(self) -> str | None:
        """LoadGen's scenario; Interactive is its Server with other limits."""
        limits = ROUND.limits_ns[Scenario.INTERACTIVE]
        found = self.detail.text("effective_scenario")
        if found == "Server" and self.detail.integer("requested_server_ttft_latency") == limits.ttft:
            return Scenario.INTERACTIVE
        return found

    @cached_property
    def is_foreign(self) -> bool:
        """Another harness ran the test: nothing that only our runs record is here."""
        return foreign.is_foreign(self.run_dir)

    def _choice(self, kind: type[Choice], named: object, what: str) -> Choice:
        text = str(named).lower()
        if text not in list(kind) and self.is_foreign:
            shown = " ".join(str(named).split())[:60]
            has = ", ".join(scenario.directory for scenario in Scenario)
            raise UserError(f"{self.run_dir}: LoadGen ran {shown}, which this benchmark does not have (it has {has})")
        if text not in list(kind):
            known = nearest(text, [str(one) for one in kind]) or f"; known: {', '.join(kind)}"
            raise UserError(f"{self.run_dir}: {what} {' '.join(str(named).split())[:60]!r} is not known{known}")
        return kind(text)


class Evidence(RunRecord):
    """A run as the gate looks at it."""

    @classmethod
    def load(cls, run_dir: Path) -> Evidence:
        """The evidence in ``run_dir``. Raises ``UserError`` if it is no run directory at all."""
        if not foreign.is_run_dir(run_dir):
            raise foreign.no_run(run_dir)
        return cls(run_dir)

    @cached_property
    def has_its_events(self) -> bool:
        """events.parquet is the file that the test left. Older runs have no digest of it."""
        path, digest = self.run_dir / names.EVENTS, (self.ran.log_sha256 or {}).get(names.EVENTS)
        return digest is not None and path.is_file() and sha256_of(path) == digest

    @cached_property
    def compliance(self) -> ComplianceResult | None:
        """TEST06's verdict on a compliance run, None for others. Raises ``UserError`` if LoadGen's logs are missing."""
        if self.mode is not Mode.COMPLIANCE:
            return None
        return verify(self.run_dir, self.eos_token_ids or LLAMA_3_1_EOS, detail=self.detail)
