"""What the endpoint costs: CPU of the server for a chunk, streams open at once, time added to a first token.

The null engine stands behind it, and a client of ours before it, each in a process of its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import psutil
from rich.console import Console

from harness.bench.serve_client import Figures, Order
from mlperf_llama_base import child, files, typed
from mlperf_llama_base.errors import EnvironmentFault, RunError

LISTENING = re.compile(r"listening on http://127\.0\.0\.1:(\d+)")
START_S = 300.0
SPARE_S = 300.0


class Row(msgspec.Struct, kw_only=True):
    """One measurement. ``cpu_us_per_chunk``: of the server's process alone, its workers' not among it."""

    what: str
    streams: int
    failed: int
    most_open: int
    chunks: int
    tokens: int
    seconds: float
    chunks_per_second: float
    cpu_us_per_chunk: float
    cpu_us_per_request: float
    ttft_p50_ms: float
    ttft_p99_ms: float
    server_mb: float
    reasons: dict[str, int] = {}


def measure_serve(
    *,
    output: Path,
    streams: list[int],
    tokens: int,
    step_ms: float,
    rates: list[float],
    seconds: float,
    console: Console,
) -> list[Row]:
    """Measure each number of open streams and each rate; writes ``endpoint.json``.

    Raises ``RunError`` where the server or the client does not come to its end.
    """
    output.mkdir(parents=True, exist_ok=True)
    rows = []
    for count in streams:
        args = {"step_ms": step_ms, "max_num_seqs": count, "max_num_batched_tokens": 1_000_000, "output_tokens": tokens}
        order = Order(host="127.0.0.1", port=0, streams=count, tokens=tokens)
        order.timeout_s = SPARE_S + tokens * step_ms / 1e3
        rows.append(_measure(f"{count} streams", order, args, output / f"streams-{count}"))
        console.print(line(rows[-1]), highlight=False)
    for rate in rates:
        order = Order(host="127.0.0.1", port=0, streams=max(1, int(rate * seconds)), tokens=tokens, rate=rate)
        order.timeout_s = SPARE_S
        rows.append(_measure(f"{rate:g} requests/s", order, {"output_tokens": tokens}, output / f"rate-{rate:g}"))
        console.print(line(rows[-1]), highlight=False)
    files.write_whole(output / "endpoint.json", msgspec.json.format(msgspec.json.encode(rows)))
    return rows


def _measure(what: str, order: Order, args: dict[str, float], folder: Path) -> Row:
    with null_server(args, folder) as (process, port):
        order.port = port
        _ask(msgspec.structs.replace(order, streams=20, rate=0.0, timeout_s=60.0), folder / "warm-up.json")
        before = cpu_s(process)
        figures = _ask(order, folder / "order.json")
        used_s = cpu_s(process) - before
        memory = process.memory_info().rss / 1e6
    ttft = np.array(figures.ttft_ms or [float("nan")])
    return Row(
        what=what,
        streams=order.streams,
        failed=figures.failed,
        most_open=figures.most_open,
        chunks=figures.chunks,
        tokens=figures.tokens,
        seconds=figures.seconds,
        chunks_per_second=figures.chunks / figures.seconds,
        cpu_us_per_chunk=used_s / max(1, figures.chunks) * 1e6,
        cpu_us_per_request=used_s / order.streams * 1e6,
        ttft_p50_ms=float(np.percentile(ttft, 50)),
        ttft_p99_ms=float(np.percentile(ttft, 99)),
        server_mb=memory,
        reasons=figures.reasons,
    )


@contextmanager
def null_server(args: dict[str, float], folder: Path) -> Iterator[tuple[psutil.Process, int]]:
    """A server with the null engine for a block: its process and its port."""
    log = folder / "serve.log"
    log.unlink(missing_ok=True)
    options = [word for name, value in args.items() for word in ("--set", f"engine.args.{name}={value}")]
    words = ("serve", "--engine", "null", "--port", "0", "--overwrite", "--output", str(folder / "serve"), *options)
    server = child.start("harness.cli.as_child", *words, log=log, env={"PYTHONUNBUFFERED": "1"})
    try:
        deadline = time.monotonic() + START_S
        while not re.search("^ready", text := log.read_text(), re.MULTILINE):
            if server.poll() is not None or time.monotonic() > deadline:
                raise EnvironmentFault(f"the server did not start: {text.strip().splitlines()[-1:]} ({log})")
            time.sleep(0.1)
        match = LISTENING.search(text)
        assert match is not None
        yield psutil.Process(server.pid), int(match[1])
    finally:
        child.end(server, grace_s=15)


def _ask(order: Order, path: Path) -> Figures:
    """Let the client's process carry out the order."""
    found = path.with_suffix(".figures.json")
    found.unlink(missing_ok=True)
    files.write_whole(path, msgspec.json.encode(order))
    client = child.start("harness.bench.serve_client", path, log=path.with_suffix(".log"))
    try:
        code = client.wait(order.timeout_s + order.streams / (order.rate or 1e9) + 60)
    finally:
        child.end(client)
    if code or not found.exists():
        raise RunError(f"the client broke with status {code}: see {path.with_suffix('.log')}")
    return typed.from_json(found.read_bytes(), Figures)


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds that a process has taken, without its children's."""
    times = process.cpu_times()
    return float(times.user + times.system)


def line(row: Row) -> str:
    """A row for people."""
    why = f" ({row.reasons})" if row.reasons else ""
    return (
        f"{row.what:<18} {row.streams:>6} asked, {row.failed} failed{why}, {row.most_open} open at once; "
        f"{row.chunks_per_second:,.0f} chunks/s, {row.cpu_us_per_chunk:.1f} us CPU a chunk, "
        f"{row.cpu_us_per_request:.0f} us a request; TTFT p50 {row.ttft_p50_ms:.2f} ms, p99 {row.ttft_p99_ms:.2f} ms; "
        f"{row.server_mb:.0f} MB"
    )
