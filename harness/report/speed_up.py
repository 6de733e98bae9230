"""Speed-up by number of workers, beside the ideal, with the intervals of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.report.charts import Line, line_chart
from harness.report.document import Chart


@dataclass(frozen=True, kw_only=True)
class Step:
    """``half``: of the speed-up's 95 % interval. ``ideal``: what the workers do alone, over the fastest baseline."""

    workers: int
    speed_up: float | None
    ideal: float | None
    half: float | None = None


def speed_up_chart(steps: Sequence[Step]) -> Chart | None:
    """From one worker (by definition one) on, of steps with as many workers the last. None if nothing is known."""
    by_count = {s.workers: s for s in steps if s.speed_up is not None and s.ideal is not None}
    known = sorted(by_count.values(), key=lambda s: s.workers)
    if not known:
        return None
    one = [Step(workers=1, speed_up=1.0, ideal=1.0)] if known[0].workers > 1 else []
    count, measured, ideal, half = (
        np.array([np.nan if value is None else float(value) for value in column])
        for column in zip(*((s.workers, s.speed_up, s.ideal, s.half) for s in [*one, *known]), strict=True)
    )
    last = known[-1]
    assert last.speed_up is not None and last.ideal is not None
    said = f"{last.speed_up:.2f} times one worker with {last.workers}, where {last.ideal:.2f} is ideal"
    return line_chart(
        title="Speed-up by number of workers",
        x_label="workers",
        y_label="times one worker",
        whole=True,
        description=said + (f" (± {last.half:.2f})" if last.half is not None else ", interval unknown"),
        lines=[
            Line(
                name="measured",
                x=count,
                y=measured,
                low=measured - half,
                high=measured + half,
                points=True,
                whiskers=True,
            ),
            Line(name="ideal", x=count, y=ideal, tone=2),
        ],
    )
