"""What the harness costs, measured with an engine that costs nothing: the null engine answers at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.config import Benchmark, RunConfig, Scenario
from harness.run import supervise, with_defaults
from harness.rundir import names
from harness.rundir.directory import claimed
from harness.rundir.result import Latency
from harness.verdict.result import write_result
from mlperf_llama_base import files
from qsl.synthetic import synthesize


@dataclass(kw_only=True)
class Row:
    """One run. ``rate``: target_qps of a Server run, None in Offline. CPU is the LoadGen process's, per sample."""

    workers: int
    rate: float | None
    samples_per_second: float
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    cpu_us_per_sample: float
    peak_rss_mb: float
    worker_rss_mb: float


def measure_overhead(
    *, output: Path, workers: list[int], rates: list[float], offline_samples: int, seconds: float, console: Console
) -> list[Row]:
    """Run Offline and each Server rate for each number of workers; writes ``overhead.json``."""
    output.mkdir(parents=True, exist_ok=True)
    data = output / "workload.parquet"
    if not data.exists():
        synthesize(data, count=Benchmark.DATACENTER.sample_count)
    rows = []
    for count in workers:
        for rate in (None, *rates):
            name = f"{count}-workers-" + ("offline" if rate is None else f"{rate:g}-qps")
            config = RunConfig(scenario=Scenario.OFFLINE if rate is None else Scenario.SERVER, overwrite=True)
            config.output = str(output / name)
            config.engine.name = "null"
            config.dataset.path = str(data)
            config.workers.count = count
            config.workers.warm_up_prompts = 1
            config.monitor.enabled = False
            config.loadgen.target_qps = rate or 1.0
            config.loadgen.min_duration_ms = 1
            config.loadgen.min_query_count = offline_samples if rate is None else max(1, int(rate * seconds))
            rows.append(_run(config, count, rate, console))
    files.write_json(output / "overhead.json", [asdict(row) for row in rows])
    return rows


def _run(config: RunConfig, workers: int, rate: float | None, console: Console) -> Row:
    config = with_defaults(config)
    with claimed(config) as claim:
        run_dir = claim.path
        config.save(run_dir / names.CONFIG)
        supervise(config, claim, Console(quiet=True))
        result = write_result(run_dir)
    session = files.read_json(run_dir / names.SESSION)
    ttft = result.ttft_ms or Latency()
    row = Row(
        workers=workers,
        rate=rate,
        samples_per_second=result.samples_per_second or 0.0,
        ttft_p50_ms=ttft.p50,
        ttft_p99_ms=ttft.p99,
        cpu_us_per_sample=session["process"]["cpu_s"] / session["samples"]["completed"] * 1e6,
        peak_rss_mb=session["process"]["peak_rss_bytes"] / 1e6,
        worker_rss_mb=max(w["rss_bytes"] for w in session["workers"]) / 1e6,
    )
    console.print(row, highlight=False)
    return row


def table(rows: list[Row]) -> Table:
    """The rows for people."""
    columns = (
        "workers",
        "asked q/s",
        "samples/s",
        "TTFT p50 ms",
        "TTFT p99 ms",
        "CPU us/sample",
        "peak MB",
        "worker MB",
    )
    out = Table(*columns, title="null engine: all of this is the harness")
    for r in rows:
        ttft = [f"{v:.2f}" if v is not None else "-" for v in (r.ttft_p50_ms, r.ttft_p99_ms)]
        asked = "Offline" if r.rate is None else f"{r.rate:g}"
        out.add_row(
            str(r.workers),
            asked,
            f"{r.samples_per_second:.0f}",
            *ttft,
            f"{r.cpu_us_per_sample:.1f}",
            f"{r.peak_rss_mb:.0f}",
            f"{r.worker_rss_mb:.0f}",
        )
    return out
