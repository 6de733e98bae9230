"""Throughput, latency distributions, the run over time, and what was read and written."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.config import Scenario
from harness.loadgen.early_stopping import percentile_of
from harness.report.charts import Limit, Line, histogram, line_chart
from harness.report.document import Block, Chart, Charts, Section, Table, Text
from harness.report.insights import outstanding
from harness.report.load import Events, Floats, RunData
from harness.report.scale import BINS, binned_percentile, edges_over
from harness.rounds import ROUND
from harness.rundir.tokens import token_rate
from harness.text import number

PERCENTILES = ("p50", "p90", "p95", "p97", "p99", "p99_9")
_NAMES = {"ttft": "time to first token (TTFT)", "tpot": "time per output token (TPOT)", "latency": "latency"}


def sections(run: RunData) -> list[Section]:
    out = []
    table = _percentiles(run)
    blocks: list[Block] = [table] if table else []
    if run.events is not None and len(run.events.complete):
        blocks.append(Charts(charts=list(_distributions(run, run.events))))
        if table:
            blocks.append(
                Text(
                    text="The table holds LoadGen's figures. The pictures are drawn from events.parquet, with "
                    "percentiles taken as LoadGen takes them."
                )
            )
        out.append(Section(title="Latency", blocks=blocks))
        out.append(Section(title="Over time", blocks=[Charts(charts=list(_timeline(run, run.events)))]))
        out.append(Section(title="Tokens", blocks=_tokens(run, run.events)))
    elif blocks:
        out.append(Section(title="Latency", blocks=blocks))
    return out


def _percentiles(run: RunData) -> Table | None:
    rows = []
    for which, name in _NAMES.items():
        values = [run.percentile_ms(which, percent) for percent in PERCENTILES]
        if any(value is not None for value in values):
            limit = run.limits_ms.get(which)
            rows.append(
                [
                    f"{name[0].upper()}{name[1:]}, ms",
                    *("–" if v is None else f"{v:,.1f}" for v in values),
                    "–" if limit is None else f"{limit:,.0f}",
                ]
            )
    if not rows:
        return None
    return Table(
        caption="Percentiles as LoadGen measured them",
        numeric=frozenset(range(1, 8)),
        rows=rows,
        columns=["", *(p.replace("_", ".") for p in PERCENTILES), "limit (p99)"],
    )


def _distributions(run: RunData, events: Events) -> Iterator[Chart]:
    if events.has_first_tokens:
        yield _distribution("Time to first token", 1000 * events.ttft, run.limits_ms["ttft"])
        yield _distribution("Time per output token", 1000 * events.tpot, run.limits_ms["tpot"])
    if run.scenario is Scenario.OFFLINE:
        served = events.complete - events.dispatch
        yield _distribution("Time in the engine, from dispatch to completion", 1000 * served, None)
    else:
        yield _distribution("Latency, from issue to completion", 1000 * events.latency, None)


def _distribution(title: str, values_ms: Floats, limit: float | None) -> Chart:
    values_ms = values_ms[np.isfinite(values_ms)]
    p50, p99 = (percentile_of(1e6 * values_ms, p) / 1e6 for p in (0.5, 0.99)) if len(values_ms) else (0.0, 0.0)
    top = max(float(np.percentile(values_ms, 99.9)) if len(values_ms) else 1.0, p99)
    if limit is not None and limit < 4 * top:
        top = max(top, 1.05 * limit)
    counts, edges = np.histogram(values_ms, bins=80, range=(0, top or 1.0))
    marks = [
        Limit(value=p50, label=f"p50 {number(p50)}", tone="note"),
        Limit(value=p99, label=f"p99 {number(p99)}", tone="note"),
    ]
    said = f"median {number(p50)} ms, 99th percentile {number(p99)} ms"
    if limit is not None:
        marks.append(Limit(value=limit, label=f"limit {limit:,.0f}"))
        over = int((values_ms > limit).sum())
        said += f", limit {limit:,.0f} ms, {over:,} of {len(values_ms):,} samples over it"
    return histogram(
        title=title,
        description=said,
        x_label="ms",
        counts=counts.astype(np.float64),
        edges=edges,
        limits=marks,
        overflow=int((values_ms > edges[-1]).sum()),
    )


def _timeline(run: RunData, events: Events) -> Iterator[Chart]:
    bins = int(min(BINS, max(10, len(events.complete) // 20)))
    edges = edges_over(0.0, events.duration, bins)
    middle, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
    rate = token_rate(events, edges, capacity=run.record.capacity)
    mean = float(events.output_tokens.sum()) / (events.duration or 1.0)
    yield line_chart(
        title="Throughput",
        x_label="seconds",
        y_label="tokens/s",
        description=f"tokens made in each {number(float(width))} s; mean "
        f"{number(mean)}, highest {number(float(rate.max()))} tokens/s",
        lines=[Line(name="tokens/s", x=middle, y=rate)],
        limits=[Limit(value=mean, label=f"mean {number(mean)}", tone="note")],
    )
    depth = outstanding(events, middle)
    unsent = np.asarray(
        np.searchsorted(np.sort(events.issue), middle, side="right")
        - np.searchsorted(np.sort(events.dispatch), middle, side="right"),
        dtype=np.float64,
    )
    yield line_chart(
        title="Queue",
        x_label="seconds",
        y_label="samples",
        description=f"at most {number(float(depth.max()))} outstanding, of which at most "
        f"{number(float(unsent.max()))} not yet handed to a worker",
        lines=[
            Line(name="outstanding", x=middle, y=depth),
            Line(name="not yet with a worker", x=middle, y=unsent, tone=2),
        ],
    )
    if events.has_first_tokens:
        for name, values in (("ttft", 1000 * events.ttft), ("tpot", 1000 * events.tpot)):
            yield _latency_over_time(run, events, name, values, edges)


def _latency_over_time(run: RunData, events: Events, name: str, values: Floats, edges: Floats) -> Chart:
    known = np.isfinite(values)
    at, values = events.issue[known], values[known]
    p50, p99 = (binned_percentile(at, values, edges, p) for p in (50, 99))
    worst = float(np.nanmax(p99)) if np.isfinite(p99).any() else 0.0
    limit = run.limits_ms[name]
    limits = [Limit(value=limit, label=f"limit {limit:,.0f} ms")] if limit is not None and limit < 4 * worst else []
    middle = (edges[:-1] + edges[1:]) / 2
    return line_chart(
        title=f"{name.upper()} by time of issue",
        x_label="seconds",
        y_label="ms",
        limits=limits,
        description=f"highest 99th percentile of any {number(float(edges[1] - edges[0]))} s: {number(worst)} ms",
        lines=[Line(name="p50", x=middle, y=p50), Line(name="p99", x=middle, y=p99, tone=2)],
    )


def _tokens(run: RunData, events: Events) -> list[Block]:
    longest = run.record.setting("engine", "max_new_tokens") or ROUND.max_new_tokens
    full = float((events.output_tokens >= longest).mean())
    rows = [
        [name, f"{values.mean():,.1f}", f"{values.min():,}", f"{values.max():,}", f"{values.sum():,}"]
        for name, values in (("input", events.input_tokens), ("output", events.output_tokens))
    ]
    charts = []
    for name, values in (
        ("Input tokens of a sample", events.input_tokens),
        ("Output tokens of a sample", events.output_tokens),
    ):
        top = int(values.max()) + 1
        counts, edges = np.histogram(values, bins=min(64, max(top, 2)), range=(0, top))
        charts.append(
            histogram(
                title=name,
                x_label="tokens",
                counts=counts.astype(np.float64),
                edges=edges,
                description=f"mean {values.mean():,.1f}, from {values.min():,} to {values.max():,}",
            )
        )
    return [
        Table(
            caption="Tokens of each sample",
            columns=["", "mean", "min", "max", "total"],
            rows=rows,
            numeric=frozenset(range(1, 5)),
        ),
        Text(text=f"{100 * full:.1f} % of the outputs have the full length of {longest} tokens."),
        Charts(charts=charts),
    ]
