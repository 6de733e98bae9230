"""Who did the work: workers, nodes, how evenly, and what went wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.report.document import Bar, Block, Cell, Items, Section, Table, Text
from harness.report.insights import tokens_by_worker
from harness.report.load import RunData
from harness.report.steps import DECODE, steps
from harness.text import number


def sections(run: RunData) -> list[Section]:
    workers = run.first("workers") or []
    if not workers:
        return []
    tokens = np.array([float(worker.get("tokens") or 0) for worker in workers])
    blocks: list[Block] = [_table(run, workers, tokens)]
    nodes = {str(worker.get("node")) for worker in workers}
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
    blocks += _faults(run) + _steps(run)
    return [Section(title="Workers", blocks=blocks)]


def _table(run: RunData, workers: list[dict[str, Any]], tokens: Any) -> Table:
    seconds = run.session.get("wall_s") or (run.events.duration if run.events is not None else None)
    most = float(tokens.max()) or 1.0
    rows: list[list[Cell]] = []
    for worker, count in zip(workers, tokens, strict=True):
        busy = worker.get("busy_fraction")
        rows.append(
            [
                str(worker.get("id", "?")),
                _place(worker),
                number(worker.get("samples")),
                Bar(text=f"{count:,.0f}", share=float(count) / most),
                number(float(count) / seconds) if seconds else "–",
                "–" if busy is None else f"{100 * busy:.0f} %",
                number(worker.get("restarts")),
                "–" if worker.get("load_s") is None else f"{worker['load_s']:.1f} s",
            ]
        )
    return Table(
        caption="Workers",
        rows=rows,
        numeric=frozenset({2, 4, 5, 6, 7}),
        columns=["worker", "where", "samples", "tokens", "tokens/s", "busy", "restarts", "load"],
    )


def _by_node(workers: list[dict[str, Any]], nodes: set[str]) -> Table:
    sums = {node: [w for w in workers if str(w.get("node")) == node] for node in sorted(nodes)}
    total = {node: sum(float(w.get("tokens") or 0) for w in group) for node, group in sums.items()}
    most = max(total.values()) or 1.0
    return Table(
        caption="Nodes",
        columns=["node", "workers", "samples", "tokens"],
        numeric=frozenset({1, 2}),
        rows=[
            [
                node,
                str(len(group)),
                f"{sum(int(w.get('samples') or 0) for w in group):,}",
                Bar(text=f"{total[node]:,.0f}", share=total[node] / most),
            ]
            for node, group in sums.items()
        ],
    )


def _place(worker: dict[str, Any]) -> str:
    return ", ".join(str(worker[key]) for key in ("node", "gpu") if worker.get(key) is not None) or "–"


def _finish(run: RunData) -> str:
    """How far apart the workers finished, which is what a bad hand-out of the last samples costs."""
    if run.events is None:
        return ""
    ids, _ = tokens_by_worker(run.events)
    if len(ids) < 2:
        return ""
    ends = [float(run.events.complete[run.events.worker == i].max()) for i in ids]
    return f" Their last completions lie {max(ends) - min(ends):,.2f} s apart."


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
    return [
        Table(
            caption="Steps of the engines, by what was in them (means)",
            rows=rows,
            columns=["step", "count", "ms", "tokens", "requests"],
            numeric=frozenset({1, 2, 3, 4}),
        )
    ]


def _faults(run: RunData) -> list[Block]:
    samples = run.first("samples") or {}
    restarts = run.first("restarts") or sum(int(w.get("restarts") or 0) for w in run.first("workers") or [])
    words = [
        f"{samples[key]:,} {key}"
        for key in ("issued", "completed", "retried", "lost", "duplicates", "failed")
        if isinstance(samples.get(key), int)
    ]
    blocks: list[Block] = [Text(text=f"Samples: {', '.join(words) or 'not recorded'}. Worker restarts: {restarts}.")]
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
    examples = [str(text) for text in run.session.get("violation_examples") or []]
    if examples:
        blocks.append(Items(items=[(text, "bad") for text in examples]))
    return blocks
