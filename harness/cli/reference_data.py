"""docs/reference/data.md: the columns of the Parquet files, and what Prometheus is told; written from the code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.monitor import families
from harness.rundir.columns import EVENTS, METRICS, READINGS, SAMPLES, Column

INTRODUCTION = """\
A run leaves `events.parquet` and `metrics.parquet`, the benchmark of a cluster `samples.parquet` over all its runs.
Units and meanings stand in the files too, as metadata of each field:
`pyarrow.parquet.read_schema(FILE).field(NAME).metadata`. Verdicts and figures of a result are LoadGen's and stand in
`result.json`; these files are for looking closer."""
FILES: tuple[tuple[str, str, tuple[Column, ...], str, str], ...] = (
    (
        "events.parquet",
        "A row a completed sample.",
        EVENTS,
        """\
import pandas

events = pandas.read_parquet("runs/server/events.parquet")
print(((events.first_token_ns - events.issue_ns) / 1e6).quantile([0.5, 0.99]))  # TTFT in ms""",
        """\
import duckdb

events = duckdb.read_parquet("runs/server/events.parquet")
print(duckdb.sql("SELECT worker, count(*), sum(output_tokens), max(attempts) FROM events GROUP BY worker"))""",
    ),
    (
        "metrics.parquet",
        "A row a reading, once a second (`monitor.interval_s`). Sources of one kind are numbered: `gpu0`, `worker3`.",
        METRICS,
        """\
import pandas

metrics = pandas.read_parquet("runs/server/metrics.parquet").query("source == 'run' and name == 'tokens_per_s'")
print(metrics.set_index("t_s").value.describe())  # tokens/s over the run""",
        """\
import duckdb

metrics = duckdb.read_parquet("runs/server/metrics.parquet")
print(duckdb.sql("SELECT node, source, avg(value) AS watts FROM metrics WHERE name = 'power_w' GROUP BY ALL"))""",
    ),
    (
        "samples.parquet",
        "A row a completed sample of every run of `benchmark cluster`, over all nodes.",
        SAMPLES,
        """\
import pandas

samples = pandas.read_parquet("runs/cluster/samples.parquet")
print(samples.groupby(["part", "run", "node"]).output_tokens.agg(["count", "sum"]))""",
        """\
import duckdb

samples = duckdb.read_parquet("runs/cluster/samples.parquet")
print(duckdb.sql("SELECT part, node, quantile_cont(complete_s - dispatch_s, 0.99) FROM samples GROUP BY ALL"))""",
    ),
)
PROMETHEUS = """\
`mlperf-llama run --metrics-port PORT`, and `/metrics` of `mlperf-llama serve`. `run` is the name of the run's
directory, `scenario` LoadGen's, or `serve`. A reading of the hardware has its name from above:
`mlperf_llama_gpu_power_w`, and as a counter `mlperf_llama_gpu_energy_j_total`, with the labels `run`, `node` and
`source`."""


def data(made_by: str) -> str:
    """The page as Markdown. ``made_by``: the line that says who writes it."""
    lines = ["# Parquet files and metrics", "", made_by, INTRODUCTION]
    for name, text, columns, pandas, duckdb in FILES:
        lines += ["", f"## `{name}`", "", text, "", *_columns(columns)]
        if columns is METRICS:
            lines += ["", *_readings()]
        lines += ["", "```python", pandas, "```", "", "```python", duckdb, "```"]
    lines += ["", "## Prometheus", "", PROMETHEUS, "", *_families()]
    return "\n".join(lines) + "\n"


def _table(heads: Sequence[str], rows: Iterator[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _columns(columns: Sequence[Column]) -> Iterator[str]:
    return _table(("column", "type", "unit", ""), ((f"`{c.name}`", c.kind, c.unit, c.text) for c in columns))


def _readings() -> Iterator[str]:
    rows = ((r.source, f"`{r.name}`", r.unit, "yes" if r.grows else "", r.text) for r in READINGS)
    return _table(("source", "name", "unit", "grows", ""), rows)


def _families() -> Iterator[str]:
    found = [one for one in vars(families).values() if isinstance(one, families.Family)]
    rows = (
        (f"`{one.full}{'_total' if one.kind == 'counter' else ''}`", one.kind, ", ".join(one.labels), one.help)
        for one in found
    )
    return _table(("metric", "type", "labels", ""), rows)
