"""ROUGE against the closed division's targets, and a few summaries to read."""

from __future__ import annotations

import numpy as np

from harness.report.charts import Limit, histogram
from harness.report.document import Bar, Beside, Block, Cell, Chart, Charts, Folded, Section, Table, Text
from harness.report.load import Floats, RunData
from harness.report.summaries import examples
from harness.rounds import ROUND
from harness.rundir.scores import RougeScores

SHOWN = 3


def sections(run: RunData) -> list[Section]:
    scores = run.accuracy
    if scores is None:
        return []
    blocks: list[Block] = []
    if scores.partial:
        blocks.append(Text(text=f"No scores of the benchmark: {scores.partial}.", tone="warn"))
    blocks.append(_targets(run, scores))
    if run.scores is not None and len(run.scores["rouge1"]):
        blocks.append(Charts(charts=[_distribution(100 * np.asarray(run.scores["rouge1"], dtype=np.float64))]))
    blocks += _read_some(run)
    return [Section(title="Accuracy", blocks=blocks)]


def _targets(run: RunData, scores: RougeScores) -> Table:
    """Each score beside the bounds that the closed division sets."""
    rows: list[list[Cell]] = []
    for name, target in ROUND.benchmarks[run.benchmark].targets.items():
        value, upper = getattr(scores, name, None), target.maximum
        if value is None:
            continue
        met = value >= target.minimum and (upper is None or value <= upper)
        share = value / target.reference
        rows.append(
            [
                name,
                f"{value:,.10g}",
                f"at least {target.minimum:,.6g}" + (f", at most {upper:,.6g}" if upper is not None else ""),
                Bar(text=f"{100 * share:.2f} % of the reference", share=min(share / 1.2, 1.0)),
                "met" if met else "NOT met",
            ]
        )
    return Table(
        caption="Accuracy against the targets of the closed division",
        rows=rows,
        columns=["score", "value", "target", "share", "verdict"],
        numeric=frozenset({1}),
    )


def _distribution(values: Floats) -> Chart:
    counts, edges = np.histogram(values, bins=50, range=(0, 100))
    mean = float(values.mean())
    return histogram(
        title="ROUGE-1 of each summary",
        x_label="ROUGE-1 (F, × 100)",
        counts=counts.astype(np.float64),
        edges=edges,
        description=f"mean {mean:.2f}, from {values.min():.1f} to {values.max():.1f}",
        limits=[Limit(value=mean, label=f"mean {mean:.1f}", tone="note")],
    )


def _read_some(run: RunData) -> list[Block]:
    """A few of the worst and the best, to be read: a score alone does not tell a broken prompt from a hard article."""
    if run.scores is None:
        return []
    order = np.argsort(run.scores["rougeLsum"], kind="stable")
    count = min(SHOWN, len(order) // 2)
    picked = [*order[:count], *order[::-1][:count]]
    pairs = examples(run, [int(run.scores["qsl_idx"][i]) for i in picked])
    blocks: list[Block] = []
    for title, first in (("Worst summaries by ROUGE-Lsum", 0), ("Best summaries by ROUGE-Lsum", count)):
        inner: list[Block] = []
        for at, pair in list(zip(picked, pairs, strict=False))[first : first + count]:
            inner.append(
                Beside(
                    caption=f"Sample {pair.index}, ROUGE-Lsum {100 * run.scores['rougeLsum'][at]:.1f}",
                    left_title="Generated",
                    left=pair.generated,
                    right_title="Reference",
                    right=pair.reference,
                )
            )
            if pair.article:
                inner.append(Folded(summary=f"Article of sample {pair.index}", blocks=[Text(text=pair.article)]))
        if inner:
            blocks.append(Folded(summary=title, blocks=inner))
    return blocks
