"""status.json as types: the live state of a run, replaced twice a second."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.rundir.files import read_record
from harness.rundir.names import STATUS
from mlperf_llama_base.errors import UserError

SCHEMA_VERSION = 1


class Histogram(msgspec.Struct, kw_only=True):
    """``counts``: of each bucket of a family of ``harness.monitor.families``, and of what lies beyond the last."""

    counts: list[int]
    sum_s: float = 0.0


class WorkerStatus(msgspec.Struct, kw_only=True):
    """``outstanding``: samples that it has; of them ``running`` and ``waiting`` as its engine counts them. ``tokens``:
    made so far, those of unfinished answers included. ``prompt_tokens`` and the histograms of its times are there only
    where the run serves metrics (``monitor.metrics_port``).
    """

    id: int | str
    node: str | None = None
    gpu: str | None = None
    state: str | None = None
    outstanding: int | None = None
    running: int | None = None
    waiting: int | None = None
    samples: int | None = None
    tokens: int | None = None
    tokens_per_s: float | None = None
    restarts: int | None = None
    rss_bytes: int | None = None
    prompt_tokens: int | None = None
    ttft: Histogram | None = None
    tpot: Histogram | None = None
    latency: Histogram | None = None


class Status(msgspec.Struct, kw_only=True):
    """``time``: Unix time of writing; ``pid``: of the session, on ``node``. ``expected``: samples that the test issues.

    ``tokens``: made so far, also for answers that are not whole or had to be begun again. Rates are of the
    last seconds, ``tokens_per_s_mean`` since the start. ``phase``: finished and failed are the last.
    """

    schema_version: int = SCHEMA_VERSION
    time: float | None = None
    pid: int | None = None
    node: str | None = None
    scenario: str | None = None
    mode: str | None = None
    phase: str | None = None
    expected: int | None = None
    elapsed_s: float | None = None
    ttft_limit_ms: float | None = None
    tpot_limit_ms: float | None = None
    message: str | None = None
    issued: int = 0
    completed: int = 0
    tokens: int = 0
    samples_per_s: float | None = None
    tokens_per_s: float | None = None
    tokens_per_s_mean: float | None = None
    ttft_p99_ms: float | None = None
    tpot_p99_ms: float | None = None
    eta_s: float | None = None
    retried: int = 0
    restarts: int = 0
    workers: list[WorkerStatus] = []


def read_status(run_dir: Path) -> Status | None:
    """The live state of a run, None while there is none that can be read: the next one may be whole."""
    try:
        return read_record(run_dir / STATUS, Status)
    except UserError:
        return None
