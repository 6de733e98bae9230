"""``bench serve --client``: MLCommons' own client against the same server, as many streams at once, and its report.

Where our client counts what it was sent, this one parses, times and counts tokens by itself. It needs far more of the
machine, so its times say little about the server; its counts say whether every stream was whole.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from rich.console import Console

from harness import demo
from harness.bench.serve import cpu_s, null_server
from harness.endpoints import run_client, workspace
from harness.endpoints.check import Point
from harness.endpoints.client import Client, require
from harness.endpoints.client_config import Target, point_config
from harness.endpoints.rehearsal import rehearsal_rows
from harness.rounds import ENDPOINTS
from harness.rundir.endpoints import PlannedPoint, ResultSummary
from harness.rundir.files import write_record
from mlperf_llama_base.errors import RunError

LIMIT_S = 3600.0
RECORD = "client.json"


class ClientRow(msgspec.Struct, kw_only=True):
    """One run of the client: a request for each stream, all at once. ``ends``: its ``finish_reason_counts``."""

    streams: int
    issued: int
    completed: int
    failed: int
    ends: dict[str, int]
    seconds: float
    tokens_per_second: float | None
    ttft_p50_ms: float | None
    ttft_p99_ms: float | None
    cpu_us_per_request: float

    @property
    def whole(self) -> bool:
        """Every stream that was asked for ended as a stream does that nobody cut."""
        return not self.failed and sum(self.ends.values()) == self.completed == self.issued == self.streams


class ClientRows(msgspec.Struct, kw_only=True):
    """``client``: its commit."""

    client: str | None
    rows: list[ClientRow]


def measure_with(
    client: Client, *, output: Path, streams: list[int], tokens: int, step_ms: float, console: Console
) -> list[ClientRow]:
    """Run the client with each number of streams; writes ``client.json``. Raises what a run of it raises."""
    require(client, accuracy=False)
    tokenizer = str(demo.demo_model())
    rows = []
    for count in streams:
        place = output / f"client-{count}"
        workspace.write_rows(place / "work", rehearsal_rows(tokenizer, count=count))
        rows.append(_measure(client, place, count, tokenizer=tokenizer, tokens=tokens, step_ms=step_ms))
        write_record(output / RECORD, ClientRows(client=client.commit, rows=rows))
        console.print(line(rows[-1]), highlight=False)
    return rows


def _measure(client: Client, place: Path, count: int, *, tokenizer: str, tokens: int, step_ms: float) -> ClientRow:
    point = PlannedPoint(concurrency=count, region="", min_duration_ms=0)
    args = {"step_ms": step_ms, "max_num_seqs": count, "max_num_batched_tokens": 100_000_000, "output_tokens": tokens}
    with null_server(args, place) as (process, port):
        config = point_config(
            point,
            samples=count,
            target=Target(url=f"http://127.0.0.1:{port}", tokenizer=tokenizer),
            seeds=ENDPOINTS.seed_sets[0],
            report_dir=(place / "run" / run_client.REPORT).resolve(),
        )
        before = cpu_s(process)
        run_client.run(
            client,
            config,
            (place / "run").resolve(),
            folder=place / "work",
            accuracy=False,
            limit_s=LIMIT_S,
            env={"HF_HUB_OFFLINE": "1"},
            alive=lambda: None,
        )
        used = cpu_s(process) - before
    summary = Point(place / "run" / run_client.REPORT).summary
    if summary is None:
        raise RunError(f"the endpoints client left no result: see {place / 'run' / run_client.LOG}")
    return _row(summary, count, cpu_us=used / count * 1e6)


def _row(summary: ResultSummary, count: int, *, cpu_us: float) -> ClientRow:
    figures = summary.figures()
    p50, p99 = summary.ttft.percentile(50), summary.ttft.percentile(99)
    return ClientRow(
        streams=count,
        issued=summary.n_samples_issued or 0,
        completed=summary.n_samples_completed or 0,
        failed=summary.n_samples_failed or 0,
        ends=summary.finish_reason_counts or {},
        seconds=summary.seconds or 0.0,
        tokens_per_second=figures.system_tps if figures else None,
        ttft_p50_ms=p50 / 1e6 if p50 else None,
        ttft_p99_ms=p99 / 1e6 if p99 else None,
        cpu_us_per_request=cpu_us,
    )


def line(row: ClientRow) -> str:
    """A row for people."""
    ends = ", ".join(f"{count:,} {reason}" for reason, count in sorted(row.ends.items()) if count) or "none"
    return (
        f"MLCommons' client {row.streams:>6} streams: {row.issued:,} issued, {row.completed:,} completed, "
        f"{row.failed:,} failed; ends by reason: {ends}; {row.seconds:.1f} s, "
        f"{row.cpu_us_per_request:.0f} us CPU of the server a request"
    )
