"""How the throughput grows with the workers: the steps of a scaling or coordinated benchmark."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.report.charts import Line, line_chart
from harness.report.document import Block, Chart, Charts, Items, Section, Table
from harness.report.load import RunData
from harness.text import UNKNOWN, number


def sections(run: RunData) -> list[Section]:
    """The ``steps`` of ``scaling.json``, each with its speed, and what there is to say of them."""
    steps = [s for s in run.scaling.get("steps") or [] if s.get("scaling") and s.get("tokens_per_second")]
    if not steps:
        return []
    steps.sort(key=lambda s: s["scaling"]["workers"])
    blocks: list[Block] = [_table(steps)]
    if len(steps) > 1 and all(s["scaling"].get("efficiency") for s in steps):
        blocks.insert(0, Charts(charts=[_chart(steps)]))
    if issues := run.scaling.get("issues"):
        blocks.append(Items(items=[(str(text), "warn") for text in issues]))
    title = "Coordinated benchmark" if run.scaling.get("kind") == "coordinated" else "Scaling"
    return [Section(title=title, blocks=blocks)]


def _chart(steps: list[dict[str, Any]]) -> Chart:
    """Tokens/s by number of workers, with the 95 % interval, beside the sum of what the workers do alone."""
    count = np.array([float(s["scaling"]["workers"]) for s in steps])
    rate = np.array([float(s["tokens_per_second"]["value"]) for s in steps])
    half = np.array([np.nan if (ci := s["tokens_per_second"].get("ci95")) is None else float(ci) for s in steps])
    alone = rate / np.array([float(s["scaling"]["efficiency"]) for s in steps])
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


def _table(steps: list[dict[str, Any]]) -> Table:
    return Table(
        caption="Speed by number of workers; ± is half of the 95 % interval",
        columns=["run", "workers", "tokens/s", "speed-up", "efficiency", "samples", "lost", "imbalance"],
        numeric=frozenset(range(1, 8)),
        rows=[
            [
                str(s.get("directory", "?")),
                str(s["scaling"]["workers"]),
                _with_interval(s["tokens_per_second"]["value"], s["tokens_per_second"].get("ci95")),
                number(s["scaling"].get("speed_up")),
                _percent(s["scaling"].get("efficiency"), s["scaling"].get("efficiency_ci95")),
                number(s["samples"].get("completed")),
                number(s["samples"].get("lost")),
                _percent(s.get("imbalance")),
            ]
            for s in steps
        ],
    )


def _with_interval(value: float, half: float | None) -> str:
    return f"{value:,.1f}" + (f" ± {half:,.1f}" if half is not None else "")


def _percent(share: float | None, half: float | None = None) -> str:
    if share is None:
        return UNKNOWN
    return f"{_with_interval(100 * share, 100 * half if half is not None else None)} %"
