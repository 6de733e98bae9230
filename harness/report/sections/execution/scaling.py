"""The whole cluster against one worker alone."""

from __future__ import annotations

from harness.report.document import Block, Charts, Section, Table, Text
from harness.report.sections.execution.words import rate, seconds, share
from harness.report.speed_up import Step, speed_up_chart
from harness.rundir.execution import ExecutionRecord
from harness.rundir.execution_results import Scaling
from harness.text import UNKNOWN, number


def section(record: ExecutionRecord) -> Section:
    """Baselines, speed-up, efficiency, and the picture of it."""
    found = record.scaling
    if found is None:
        missing = Text(text="No baseline was measured, so nothing is said of scaling.")
        return Section(title="Scaling", blocks=[missing])
    steps = [
        Step(
            workers=point.workers,
            speed_up=point.speed_up,
            ideal=point.ideal,
            half=_half(point.speed_up, point.efficiency, point.efficiency_ci95),
        )
        for point in found.points
    ]
    chart = speed_up_chart(steps) if any(step.workers > 1 for step in steps) else None
    blocks: list[Block] = [_baselines(found), _points(found)]
    if chart is not None:
        blocks.append(Charts(charts=[chart]))
    return Section(title="Scaling", blocks=blocks)


def _half(speed_up: float | None, efficiency: float | None, half: float | None) -> float | None:
    """Of the speed-up, from the efficiency's."""
    return None if half is None or not efficiency or speed_up is None else speed_up * half / efficiency


def _baselines(found: Scaling) -> Table:
    return Table(
        caption=f"Baseline: one worker alone, measured in {found.part}",
        columns=["worker", "tokens/s", "samples/s", "samples", "duration"],
        numeric=frozenset({1, 2, 3, 4}),
        rows=[
            [
                alone.kind,
                rate(alone.tokens_per_second),
                number(alone.samples_per_second),
                number(alone.samples_completed),
                seconds(alone.seconds),
            ]
            for alone in found.baselines
        ],
    )


def _points(found: Scaling) -> Table:
    return Table(
        caption="Speed-up against the fastest baseline, efficiency against the sum of what the workers do alone; "
        "± is half of the 95 % interval",
        columns=["benchmark", "workers", "tokens/s", "speed-up", "ideal", "efficiency", "verdict"],
        numeric=frozenset({1, 2, 3, 4, 5}),
        rows=[
            [
                point.name,
                str(point.workers),
                rate(point.tokens_per_second),
                UNKNOWN if point.speed_up is None else f"{point.speed_up:.2f}",
                UNKNOWN if point.ideal is None else f"{point.ideal:.2f}",
                share(point.efficiency, point.efficiency_ci95),
                point.state or UNKNOWN,
            ]
            for point in found.points
        ],
    )
