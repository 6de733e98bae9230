"""How the throughput grows with the workers: the steps of a scaling or coordinated benchmark."""

from __future__ import annotations

import numpy as np

from harness.report.charts import Line, line_chart
from harness.report.document import Block, Chart, Charts, Items, Section, Table
from harness.report.load import RunData
from harness.rundir.scaling import Efficiency, ScalingStep
from harness.text import UNKNOWN, number

Steps = list[tuple[ScalingStep, Efficiency]]


def sections(run: RunData) -> list[Section]:
    """The ``steps`` of ``scaling.json``, each with its speed, and what there is to say of them."""
    if run.scaling is None:
        return []
    steps = [(step, step.scaling) for step in run.scaling.steps if step.scaling]
    if not steps:
        return []
    steps.sort(key=lambda pair: pair[1].workers)
    blocks: list[Block] = [_table(steps)]
    if len(steps) > 1 and all(found.efficiency for _, found in steps):
        blocks.insert(0, Charts(charts=[_chart(steps)]))
    if run.scaling.issues:
        blocks.append(Items(items=[(text, "warn") for text in run.scaling.issues]))
    title = "Coordinated benchmark" if run.scaling.kind == "coordinated" else "Scaling"
    return [Section(title=title, blocks=blocks)]


def _chart(steps: Steps) -> Chart:
    """Tokens/s by number of workers, with the 95 % interval, beside the sum of what the workers do alone."""
    count = np.array([float(found.workers) for _, found in steps])
    rate = np.array([step.tokens_per_second.value for step, _ in steps])
    half = np.array([np.nan if (ci := step.tokens_per_second.ci95) is None else ci for step, _ in steps])
    alone = rate / np.array([found.efficiency or np.nan for _, found in steps])
    return line_chart(
        title="Throughput by number of workers",
        x_label="workers",
        y_label="tokens/s",
        description=f"from {number(float(rate[0]))} tokens/s with {count[0]:g} to {number(float(rate[-1]))} with "
        f"{count[-1]:g}, {100 * rate[-1] / alone[-1]:.1f} % of what the workers do alone",
        lines=[
            Line(name="measured", x=count, y=rate, points=True, low=rate - half, high=rate + half),
            Line(name="what the workers do alone", x=count, y=alone, tone=2),
        ],
    )


def _table(steps: Steps) -> Table:
    return Table(
        caption="Speed by number of workers; ± is half of the 95 % interval",
        columns=["run", "workers", "tokens/s", "speed-up", "efficiency", "samples", "lost", "imbalance"],
        numeric=frozenset(range(1, 8)),
        rows=[
            [
                step.directory,
                str(found.workers),
                _with_interval(step.tokens_per_second.value, step.tokens_per_second.ci95),
                number(found.speed_up),
                _percent(found.efficiency, found.efficiency_ci95),
                number(step.samples.completed),
                number(step.samples.lost),
                _percent(step.imbalance),
            ]
            for step, found in steps
        ],
    )


def _with_interval(value: float, half: float | None) -> str:
    return f"{value:,.1f}" + (f" ± {half:,.1f}" if half is not None else "")


def _percent(share: float | None, half: float | None = None) -> str:
    if share is None:
        return UNKNOWN
    return f"{_with_interval(100 * share, 100 * half if half is not None else None)} %"
