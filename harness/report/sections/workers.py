"""Who did the work: workers, nodes, how evenly, and what went wrong."""

from __future__ import annotations

import numpy as np

from harness.report.document import Bar, Block, Cell, Items, Section, Table, Text
from harness.report.insights import tokens_by_worker
from harness.report.load import Floats, RunData
from harness.report.steps import DECODE, steps, three_numbers
from harness.rundir.session import Worker
from harness.text import number


def sections(run: RunData) -> list[Section]:
    workers = run.workers
    if not workers:
        return []
    tokens = np.array([float(worker.tokens or 0) for worker in workers])
    blocks: list[Block] = [_table(run, workers, tokens)]
    nodes = {str(worker.node) for worker in workers}
    if len(nodes) > 1:
        blocks.append(_by_node(workers, nodes))
    if len(workers) > 1 and tokens.mean() > 0:
        over, under = tokens.max() / tokens.mean() - 1, 1 - tokens.min() / tokens.mean()
        blocks.append(
            Text(
                text=f"Imbalance: the busiest worker generated {100 * over:.1f} % more than the mean, the "
                f"least busy one {100 * under:.1f} % less.{_finish(run)}"
            )
        )
    blocks += _start(run) + _faults(run) + _steps(run)
    return [Section(title="Workers", blocks=blocks)]


def _table(run: RunData, workers: list[Worker], tokens: Floats) -> Table:
    seconds = run.seconds
    most = float(tokens.max()) or 1.0
    rows: list[list[Cell]] = []
    for worker, count in zip(workers, tokens, strict=True):
        busy = worker.busy_fraction
        rows.append(
            [
                str(worker.id),
                _place(worker),
                number(worker.samples),
                Bar(text=f"{count:,.0f}", share=float(count) / most),
                number(float(count) / seconds) if seconds else "–",
                "–" if busy is None else f"{100 * busy:.0f} %",
                number(worker.restarts),
                "–" if worker.load_s is None else f"{worker.load_s:.1f} s",
            ]
        )
    return Table(
        caption="Workers",
        rows=rows,
        numeric=frozenset({2, 4, 5, 6, 7}),
        columns=["worker", "where", "samples", "tokens", "tokens/s", "busy", "restarts", "load"],
    )


def _by_node(workers: list[Worker], nodes: set[str]) -> Table:
    sums = {node: [w for w in workers if str(w.node) == node] for node in sorted(nodes)}
    total = {node: sum(float(w.tokens or 0) for w in group) for node, group in sums.items()}
    most = max(total.values()) or 1.0
    return Table(
        caption="Nodes",
        columns=["node", "workers", "samples", "tokens"],
        numeric=frozenset({1, 2}),
        rows=[
            [
                node,
                str(len(group)),
                f"{sum(w.samples or 0 for w in group):,}",
                Bar(text=f"{total[node]:,.0f}", share=total[node] / most),
            ]
            for node, group in sums.items()
        ],
    )


def _place(worker: Worker) -> str:
    return ", ".join(where for where in (worker.node, worker.gpu) if where is not None) or "–"


def _finish(run: RunData) -> str:
    """How far apart the workers finished, which is what a bad hand-out of the last samples costs."""
    if run.events is None:
        return ""
    ids, _ = tokens_by_worker(run.events)
    if len(ids) < 2:
        return ""
    ends = [float(run.events.complete[run.events.worker == i].max()) for i in ids]
    return f" Their last completions lie {max(ends) - min(ends):,.2f} s apart."


def _start(run: RunData) -> list[Block]:
    """What took how long until the engine was ready, where it tells (vLLM)."""
    engine = (run.result or run.session).engine
    parts = (engine.facts.get("start_s") if engine else None) or {}
    longest = max(parts.values(), default=0.0)
    rows: list[list[Cell]] = [
        [name, Bar(text=f"{seconds:.1f} s", share=seconds / longest)] for name, seconds in parts.items() if longest
    ]
    return (
        [Table(caption=f"Start of the engine, {sum(parts.values()):.1f} s", columns=["part", "took"], rows=rows)]
        if rows
        else []
    )


def _steps(run: RunData) -> list[Block]:
    rows: list[list[Cell]] = [
        [
            "decode only" if s.kind == DECODE else f"up to {s.kind.removeprefix('<=')} tokens",
            f"{s.count:,}",
            f"{s.ms:,.1f}",
            f"{s.tokens:,.0f}",
            f"{s.requests:,.0f}",
        ]
        for s in steps(run)
    ]
    if not rows:
        return []
    numbers = three_numbers(run)
    return [
        Table(
            caption="Steps of the engines, by what was in them (means)",
            rows=rows,
            columns=["step", "count", "ms", "tokens", "requests"],
            numeric=frozenset({1, 2, 3, 4}),
        ),
        *([Text(text=numbers)] if numbers else []),
    ]


def _faults(run: RunData) -> list[Block]:
    told = {name: getattr(run.samples, name) for name in run.samples.__struct_fields__}
    said = ", ".join(f"{count:,} {name}" for name, count in told.items() if count is not None)
    blocks: list[Block] = [Text(text=f"Samples: {said or 'not recorded'}. Worker restarts: {run.restarts}.")]
    if run.events is not None and len(run.events.attempts) and run.events.attempts.max() > 1:
        tries, counts = np.unique(run.events.attempts, return_counts=True)
        blocks.append(
            Table(
                caption="Samples by number of attempts",
                columns=["attempts", "samples"],
                rows=[[str(t), f"{c:,}"] for t, c in zip(tries, counts, strict=True)],
                numeric=frozenset({0, 1}),
            )
        )
    if examples := run.session.violation_examples:
        blocks.append(Items(items=[(text, "bad") for text in examples]))
    return blocks
