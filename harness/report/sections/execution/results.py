"""How much: all nodes together, each node, and the tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.report.document import Block, Charts, Items, Section, Table, Text, Tone
from harness.report.over_time import busy_chart, of_result, throughput_chart
from harness.report.sections.execution.words import gigabytes, of, rate, ratio, seconds, share, text
from harness.rundir.execution import ExecutionRecord
from harness.rundir.execution_results import ClusterResult, NodeResult, RequestTime
from harness.rundir.scaling import Rate, TokenSummary
from harness.text import UNKNOWN, number


def request(found: RequestTime | None, which: str) -> str:
    """One of a request's times."""
    return seconds(getattr(found, which, None))


def _sources(result: ClusterResult) -> str:
    """The runs that the figures were computed from, or their number."""
    runs = [where.removeprefix(f"{result.part}/") for where in result.directories]
    return ", ".join(runs) if 0 < len(runs) <= NAMED else f"{len(runs)} LoadGens"


def value_of(found: Rate | None) -> float | None:
    return None if found is None else found.value


NAMED = 3
NOTHING = Text(text="No benchmark measured anything.")
Row = tuple[str, Callable[[ClusterResult], str]]
TOGETHER: tuple[Row, ...] = (
    ("figures from", lambda r: _sources(r)),
    ("verdict on that", lambda r: r.state or UNKNOWN),
    ("scenario", lambda r: text(r.scenario)),
    ("nodes active", lambda r: of(r.nodes_active, r.nodes_asked)),
    ("GPUs", lambda r: number(r.gpus) if r.gpus else f"none ({r.workers} workers on processors)"),
    ("samples answered", lambda r: of(r.samples_completed, r.samples_asked)),
    ("samples lost", lambda r: number(r.samples_lost)),
    ("samples given to another worker", lambda r: number(r.samples_retried)),
    ("test duration", lambda r: seconds(r.seconds)),
    ("samples/s", lambda r: number(r.samples_per_second)),
    ("samples/s per GPU", lambda r: number(ratio(r.samples_per_second, r.places))),
    ("tokens/s", lambda r: rate(r.tokens_per_second)),
    ("tokens/s per GPU", lambda r: number(ratio(value_of(r.tokens_per_second), r.places))),
    ("request latency, mean", lambda r: request(r.request_s, "mean")),
    ("request latency, p99", lambda r: request(r.request_s, "p99")),
    ("time to first token, mean", lambda r: request(r.request_s, "first_token_mean")),
    ("wait in the queue, mean", lambda r: request(r.request_s, "waited_mean")),
    ("GPU memory used, all nodes", lambda r: gigabytes(r.gpu_memory_used_bytes)),
    ("GPU memory used, share", lambda r: share(ratio(r.gpu_memory_used_bytes, r.gpu_memory_total_bytes))),
    ("first to last start", lambda r: UNKNOWN if r.start_spread_ms is None else f"{r.start_spread_ms:,.1f} ms"),
)


def together(record: ExecutionRecord) -> Section:
    """A column for each benchmark that measured something."""
    if not record.results:
        return Section(title="All nodes together", blocks=[NOTHING])
    parts = [record.part(result.part) for result in record.results]
    whole = ["benchmark as a whole", *(part.verdict if part else UNKNOWN for part in parts)]
    rows = [whole, *([name, *(value(result) for result in record.results)] for name, value in TOGETHER)]
    return Section(
        title="All nodes together",
        blocks=[
            Table(
                caption="Results by the times of each sample (what LoadGen states is under Benchmarks); ± is half of "
                "the 95 % interval. Where there are no GPUs, per GPU is per worker",
                columns=["", *(result.part for result in record.results)],
                numeric=frozenset(range(1, len(record.results) + 1)),
                rows=rows,
            ),
            Text(
                text="A request's latency counts from when a worker is given it to its completion, with the wait for a "
                "place in the engine's batch, but without the wait before: Offline issues everything at the start, so "
                "that the time since then says how long the test was."
            ),
        ],
    )


def by_node(record: ExecutionRecord, directory: Path) -> Section:
    """A table for each benchmark, and who did how much at which time."""
    blocks: list[Block] = []
    for result in record.results:
        blocks += [_nodes(result), *_shares(record, result), *_problems(result)]
        if result not in record.in_detail:
            continue
        lanes = of_result(directory, result)
        charts = [chart for make in (throughput_chart, busy_chart) if (chart := make(lanes, result.part)) is not None]
        if charts:
            blocks.append(Charts(charts=charts))
    return Section(title="Each node", blocks=blocks or [NOTHING])


def _nodes(result: ClusterResult) -> Table:
    return Table(
        caption=f"Nodes, {result.part}",
        columns=[
            "node",
            "answered",
            "success rate",
            "samples/s",
            "tokens/s",
            "latency, mean",
            "latency, p99",
            "execution time",
            "GPU memory",
            "process memory",
        ],
        numeric=frozenset(range(1, 10)),
        rows=[_node(node) for node in result.nodes],
    )


def _node(node: NodeResult) -> list[str]:
    return [
        node.node,
        of(node.samples_completed, node.samples_asked),
        share(node.success_rate),
        number(node.samples_per_second),
        rate(node.tokens_per_second),
        request(node.request_s, "mean"),
        request(node.request_s, "p99"),
        seconds(node.seconds),
        gigabytes(node.use.gpu_memory_used_bytes),
        gigabytes(node.rss_bytes),
    ]


def _shares(record: ExecutionRecord, result: ClusterResult) -> list[Block]:
    """What the names mean where one machine runs several LoadGens."""
    if record.asked.nodes or result.part != "coordinated" or len(result.nodes) < 2 or not record.environment.nodes:
        return []
    here = record.environment.nodes[0].name
    return [Text(text=f"Each of these is a share of {here}: a LoadGen with workers of its own.")]


def _problems(result: ClusterResult) -> list[Block]:
    told: list[tuple[str, Tone]] = [(f"{node.node}: {node.problem}", "bad") for node in result.nodes if node.problem]
    return [Items(items=told)] if told else []


def tokens(record: ExecutionRecord) -> Section:
    """Of a sample, and the rate of each GPU."""
    blocks: list[Block] = []
    for result in record.results:
        found = result.tokens
        kinds = (("input", found.input), ("output", found.output), ("input and output", found.both))
        if any(kind for _, kind in kinds):
            blocks.append(_tokens(result.part, kinds))
        blocks.append(
            Text(
                text=f"{result.part}, output tokens/s of one GPU (or worker): mean {number(found.worker_mean)}, from "
                f"{number(found.worker_min)} to {number(found.worker_max)}; spread {share(found.worker_spread)} of the "
                "mean."
            )
        )
    return Section(title="Tokens", blocks=blocks or [NOTHING])


def _tokens(part: str, kinds: tuple[tuple[str, TokenSummary | None], ...]) -> Table:
    return Table(
        caption=f"Tokens of a sample, {part}",
        columns=["tokens", "mean", "min", "p50", "p99", "max", "total"],
        numeric=frozenset(range(1, 7)),
        rows=[
            [name, f"{t.mean:.1f}", number(t.min), number(t.p50), number(t.p99), number(t.max), number(t.total)]
            for name, t in kinds
            if t is not None
        ],
    )
