"""What the harness costs, measured with an engine that costs nothing: the null engine answers at once.

Beside each test LoadGen runs alone, with the same settings and the simplest system there is
(:mod:`harness.bench.alone`), in the same call: rates depend on the machine, the ratio of the two much less.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from harness.bench import alone, profile
from harness.config import Benchmark, RunConfig, Scenario
from harness.run import supervise, with_defaults
from harness.rundir import names
from harness.rundir.directory import claimed
from harness.rundir.files import read_record
from harness.rundir.result import Latency
from harness.rundir.session import SessionRecord
from harness.verdict.result import write_result
from mlperf_llama_base import files
from mlperf_llama_base.errors import RunError
from qsl.synthetic import synthesize

KEPT_UP = 0.9  # of what was asked; below that the host is the limit
HIGHEST_RATE = 1e6


class Row(msgspec.Struct, kw_only=True):
    """One run. ``processes``: that dispatched. ``rate``: target_qps of a Server run, None in Offline.
    ``ratio``: samples/s against LoadGen alone.

    CPU is of the test, a sample: the LoadGen process's, and that of all processes, workers included.
    """

    workers: int
    processes: int
    rate: float | None
    samples_per_second: float
    ratio: float
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    cpu_us_per_sample: float
    cpu_us_per_sample_all: float | None
    peak_rss_mb: float
    worker_rss_mb: float
    alone: alone.Alone

    @property
    def kept_up(self) -> bool:
        return self.rate is None or self.samples_per_second >= KEPT_UP * self.rate


@dataclass(kw_only=True)
class Plan:
    """What is to be measured. ``overload``: double the highest rate until the host cannot keep up with it.
    ``processes``: that dispatch. ``profiler``: the program that looks where the time goes.
    """

    output: Path
    workers: list[int]
    rates: list[float]
    offline_samples: int
    seconds: float
    overload: bool = True
    processes: int = 1
    profiler: str | None = None
    console: Console
    known: dict[float | None, alone.Alone] = field(default_factory=dict)


def measure_overhead(plan: Plan) -> list[Row]:
    """Run Offline and each Server rate for each number of workers; writes ``overhead.json``."""
    plan.output.mkdir(parents=True, exist_ok=True)
    data = plan.output / "workload.parquet"
    if not data.exists():
        synthesize(data, count=Benchmark.DATACENTER.sample_count)
    rows: list[Row] = []
    for workers in plan.workers:
        for rate in _rates(plan, rows):
            rows.append(_run(plan, data, workers, rate))
            files.write_json(plan.output / "overhead.json", msgspec.to_builtins(rows))
            plan.console.print(_line(rows[-1]), highlight=False)
    return rows


def _rates(plan: Plan, rows: list[Row]) -> Iterator[float | None]:
    """Offline, the rates, and rates beyond those until one is too much. ``rows`` grows meanwhile."""
    yield None
    yield from plan.rates
    rate = max(plan.rates, default=HIGHEST_RATE)
    while plan.overload and rows[-1].kept_up and rate < HIGHEST_RATE:
        rate *= 2
        yield rate


def _run(plan: Plan, data: Path, workers: int, rate: float | None) -> Row:
    test = "offline" if rate is None else f"{rate:g}-qps"
    config = _config(plan, data, workers, rate)
    config.output = str(plan.output / f"{workers}-workers-{test}")
    config = with_defaults(config)
    if rate not in plan.known:
        plan.known[rate] = alone.measure(config, plan.output / f"alone-{test}")
    with claimed(config) as claim:
        run_dir = claim.path
        config.save(run_dir / names.CONFIG)
        watch = profile.Watch(plan.profiler, run_dir, seconds=_seconds(plan, rate)) if plan.profiler else None
        if watch:
            watch.start()
        supervise(config, claim, Console(quiet=True))
        if watch:
            watch.join()
            plan.console.print(watch.trouble or f"where the time went: {run_dir / profile.FILE}", highlight=False)
        result = write_result(run_dir)
    session = read_record(run_dir / names.SESSION, SessionRecord)
    if session is None or session.process is None or not (completed := session.samples.completed):
        raise RunError(f"{run_dir}: the run left no figures; see its session.log")
    process, ttft = session.process, result.ttft_ms or Latency()
    rate_alone = plan.known[rate].samples_per_second
    return Row(
        workers=workers,
        processes=plan.processes,
        rate=rate,
        samples_per_second=result.samples_per_second or 0.0,
        ratio=(result.samples_per_second or 0.0) / rate_alone,
        ttft_p50_ms=ttft.p50,
        ttft_p99_ms=ttft.p99,
        cpu_us_per_sample=1e6 * (process.test_cpu_s or 0.0) / completed,
        cpu_us_per_sample_all=None if process.test_cpu_all_s is None else 1e6 * process.test_cpu_all_s / completed,
        peak_rss_mb=process.peak_rss_bytes / 1e6,
        worker_rss_mb=max((w.rss_bytes or 0) for w in session.workers) / 1e6,
        alone=plan.known[rate],
    )


def _config(plan: Plan, data: Path, workers: int, rate: float | None) -> RunConfig:
    config = RunConfig(scenario=Scenario.OFFLINE if rate is None else Scenario.SERVER, overwrite=True)
    config.engine.name = "null"
    config.dataset.path = str(data)
    config.workers.count = workers
    config.workers.warm_up_prompts = 1
    config.dispatch.processes = plan.processes
    config.monitor.enabled = False
    config.loadgen.target_qps = rate or 1.0
    config.loadgen.min_duration_ms = 1
    config.loadgen.min_query_count = plan.offline_samples if rate is None else max(1, int(rate * plan.seconds))
    return config


def _seconds(plan: Plan, rate: float | None) -> float:
    """About how long the test lasts, for the profiler; it ends with the process at the latest."""
    return plan.seconds if rate is not None else max(2.0, plan.offline_samples / 50_000)


def _line(row: Row) -> str:
    asked = "Offline" if row.rate is None else f"{row.rate:g} q/s"
    return f"{row.workers} workers, {asked}: {row.samples_per_second:.0f} samples/s, {row.ratio:.3f} of LoadGen alone"


COLUMNS = ("workers", "asked", "samples/s", "of alone", "TTFT ms", "alone", "CPU us", "alone", "all", "MB", "worker")


def table(rows: Iterable[Row]) -> Table:
    """The rows for people."""
    title = "null engine: all of this is the harness. TTFT p50 / p99; CPU and memory of the LoadGen process"
    out = Table(*COLUMNS, title=title, box=None, pad_edge=False)
    for r in rows:
        out.add_row(
            str(r.workers),
            "Offline" if r.rate is None else f"{r.rate:g} q/s",
            f"{r.samples_per_second:.0f}" + ("" if r.kept_up else " (too much)"),
            f"{r.ratio:.3f}",
            _pair(r.ttft_p50_ms, r.ttft_p99_ms),
            f"{r.alone.samples_per_second:.0f}" if r.rate is None else _pair(r.alone.ttft_p50_ms, r.alone.ttft_p99_ms),
            f"{r.cpu_us_per_sample:.1f}",
            f"{r.alone.cpu_us_per_sample:.1f}",
            "-" if r.cpu_us_per_sample_all is None else f"{r.cpu_us_per_sample_all:.1f}",
            f"{r.peak_rss_mb:.0f}",
            f"{r.worker_rss_mb:.0f}",
        )
    return out


def _pair(*values: float | None) -> str:
    return " / ".join("-" if v is None else f"{v:.2f}" for v in values)
