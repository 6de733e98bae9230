"""What LoadGen cannot know of a test: session.json and events.parquet."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import psutil

from harness.config import RunConfig, Scenario
from harness.loadgen.keys import Setting
from harness.rundir.columns import EVENTS as EVENT_COLUMNS
from harness.rundir.columns import schema
from harness.rundir.files import write_record
from harness.rundir.names import EVENTS, SESSION
from harness.rundir.session import (
    Dataset,
    Engine,
    LostWorker,
    Model,
    Process,
    SampleAnswer,
    Samples,
    SessionRecord,
    Tokens,
    Worker,
)
from mlperf_llama_base import typed
from mlperf_llama_base.files import replacing, sha256_of
from sut.dispatching import Dispatching
from sut.workers.devices import short_name

log = logging.getLogger("session")
ANSWER_TOKENS = 512


@dataclass(kw_only=True)
class Outcome:
    """Collected while a session goes on; saved whatever happens."""

    config: RunConfig
    outcome: str = "failed"
    error: str | None = None
    from_config_rc: int | None = None
    settings: dict[str, Setting] = field(default_factory=dict)
    smoke_overrides: dict[str, int | float] = field(default_factory=dict)
    dataset: Dataset | None = None
    model: Model | None = None
    test_started: str | None = None
    test_ended: str | None = None
    wall_s: float | None = None
    test_cpu_s: float | None = None
    test_cpu_all_s: float | None = None
    dispatch_share: float | None = None
    log_sha256: dict[str, str] | None = None

    def record(self, hub: Dispatching | None) -> SessionRecord:
        """What session.json holds; without a ``hub`` no worker was ever started."""
        config = self.config
        record = SessionRecord(
            outcome=self.outcome,
            error=self.error,
            scenario=config.scenario.value,
            mode=config.mode.value,
            benchmark=config.benchmark.value,
            model_name=config.model_name,
            from_config_rc=self.from_config_rc,
            settings=self.settings,
            smoke_overrides=self.smoke_overrides,
            smoke=[f"{name} set to {value}" for name, value in self.smoke_overrides.items()],
            dataset=self.dataset,
            model=self.model,
            test_started=self.test_started,
            test_ended=self.test_ended,
            wall_s=self.wall_s,
            log_sha256=self.log_sha256,
            process=self._process(hub),
            samples=Samples(issued=0, completed=0, lost=0, retried=0, duplicates=0, failed=0),
            restarts=0,
            refused_messages=0,
            refused_peers=0,
        )
        return record if hub is None else _with_workers(record, hub)

    def _process(self, hub: Dispatching | None) -> Process:
        """What this process has used so far, and how it kept up."""
        return Process(
            cpu_s=cpu_seconds(),
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            test_cpu_s=self.test_cpu_s,
            test_cpu_all_s=self.test_cpu_all_s,
            cores=len(os.sched_getaffinity(0)),
            dispatch_share=self.dispatch_share,
            dispatched_late=hub.counts.behind if hub and self.config.scenario is not Scenario.OFFLINE else None,
        )

    def save(self, run_dir: Path, hub: Dispatching | None, *, signed: dict[str, str] | None = None) -> None:
        """Write both files. ``signed``: digests of what the test left, which both keep; session.json that of
        events.parquet, too. Raises ``OSError`` if session.json cannot be written; without events.parquet a run still
        has a verdict, so that is a note where it cannot.
        """
        self.log_sha256 = {k: v for k, v in signed.items() if k != EVENTS} if signed else None
        record = self.record(hub)
        write_record(run_dir / SESSION, record)
        if hub is None or not len(hub.record):
            return
        try:
            write_events(run_dir / EVENTS, hub, signed=self.log_sha256)
        except (OSError, MemoryError) as error:
            note = f"{EVENTS} could not be written ({getattr(error, 'strerror', None) or 'no memory is left'})"
            log.warning("%s", note)
            write_record(run_dir / SESSION, msgspec.structs.replace(record, notes=[note]))
        else:
            if self.log_sha256 is not None:
                self.log_sha256[EVENTS] = sha256_of(run_dir / EVENTS)
                write_record(run_dir / SESSION, msgspec.structs.replace(record, log_sha256=self.log_sha256))


def cpu_seconds() -> float:
    """What this process has used so far, all its threads together."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def children_cpu_seconds() -> dict[int, float]:
    """What each process that this one has started, directly or not, has used so far, by its id."""
    used = {}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            used[process.pid] = times.user + times.system
    return used


def _with_workers(record: SessionRecord, hub: Dispatching) -> SessionRecord:
    d = hub.counts
    return msgspec.structs.replace(
        record,
        samples=Samples(
            issued=d.issued,
            completed=d.completed,
            lost=d.issued - d.completed,
            retried=d.retried,
            duplicates=d.duplicates,
            failed=d.failures,
        ),
        violations=d.violations,
        violation_examples=d.examples,
        workers=_workers(hub),
        restarts=sum(w.restarts for w in hub.workers.values()),
        lost_workers=typed.convert(hub.lost, list[LostWorker], from_attributes=True),
        refused_messages=hub.refused,
        refused_peers=hub.refused_peers,
        engine=typed.convert(hub.engine, Engine, from_attributes=True) if hub.engine else None,
        engine_live_facts={str(i): w.beat.facts for i, w in hub.workers.items() if w.beat.facts},
        tokens=_tokens(hub),
        answers=[_answer(*answer) for answer in hub.record.answers],
    )


def _answer(index: int, worker: int, tokens: bytes) -> SampleAnswer:
    ids = np.frombuffer(tokens, dtype="<i4")
    return SampleAnswer(qsl_idx=index, token_ids=ids[:ANSWER_TOKENS].tolist(), output_tokens=len(ids), worker=worker)


def _workers(hub: Dispatching) -> list[Worker]:
    return [
        Worker(
            id=i,
            node=w.node,
            gpu=w.gpu,
            gpus=[short_name(gpu) for gpu in w.spec.gpus],
            numa_nodes=w.numa_nodes,
            pid=w.pid,
            state=w.state,
            samples=w.samples,
            tokens=w.tokens,
            restarts=w.restarts,
            load_s=w.load_s,
            warm_up_s=w.warm_up_s,
            rss_bytes=w.beat.rss_bytes,
            busy_fraction=w.busy_beats / w.beats if w.beats else None,
            fault=w.fault or None,
        )
        for i, w in hub.workers.items()
    ]


def _tokens(hub: Dispatching) -> Tokens | None:
    if not len(hub.record):
        return None
    given, got = hub.record.column("input_tokens"), hub.record.column("output_tokens")
    return Tokens(
        input_mean=float(given.mean()),
        input_max=int(given.max()),
        input_total=int(given.sum(dtype=np.int64)),
        output_mean=float(got.mean()),
        output_min=int(got.min()),
        output_max=int(got.max()),
        output_total=int(got.sum(dtype=np.int64)),
    )


def write_events(path: Path, hub: Dispatching, *, signed: dict[str, str] | None = None) -> None:
    """One row per sample; times in ns since the test's first issue, ``first_token_ns`` null where none was reported.
    ``signed``: digests of the test's other files, kept in the file's metadata.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: hub.record.column(name) for name in hub.record.columns}
    start = int(columns["issue_ns"].min())
    first = columns["first_token_ns"]
    arrays = {}
    for name, values in columns.items():
        if name == "first_token_ns":
            arrays[name] = pa.array(first - start, mask=first == 0)
        else:
            arrays[name] = pa.array(values - start if name.endswith("_ns") else values)
    with replacing(path) as scratch:
        pq.write_table(
            pa.table(arrays, schema=schema(EVENT_COLUMNS).with_metadata(signed)), scratch, compression="zstd"
        )
