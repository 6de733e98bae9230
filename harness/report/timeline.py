"""A chart of lanes: a row for each node, fuller in colour the busier it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from harness.report.charts import LEFT, RIGHT, TOP, WIDTH, svg
from harness.report.document import Chart
from harness.report.scale import Floats, tick_text, ticks

LANE = 22.0
GAP = 5.0
FOOT = 46.0
SHOWN = 32
NAME = 14  # letters that fit beside a lane


@dataclass(frozen=True, kw_only=True)
class Lane:
    """``level``: shape [bins], from zero up."""

    name: str
    level: Floats


def lanes_chart(*, title: str, description: str, x_label: str, edges: Floats, lanes: Sequence[Lane]) -> Chart:
    """Draw at most 32 lanes over the bins of ``edges`` (shape [bins + 1]); the highest level of all is full colour."""
    left = LEFT + 6 * max(0, min(max(len(lane.name) for lane in lanes), NAME) - 7)
    shown = lanes[:SHOWN]
    height = TOP + len(shown) * (LANE + GAP) + FOOT
    most = max(float(lane.level.max()) for lane in lanes) or 1.0
    scale = (WIDTH - RIGHT - left) / (float(edges[-1]) - float(edges[0]))
    body = [_axis(edges, left=left, scale=scale, height=height, x_label=x_label)]
    for at, lane in enumerate(shown):
        y = TOP + at * (LANE + GAP)
        name = lane.name if len(lane.name) <= NAME else f"{lane.name[: NAME - 1]}…"
        body.append(
            f'<text class="tick" x="{left - 7:g}" y="{y + LANE - 7:.1f}" text-anchor="end">{escape(name)}</text>'
            f'<path class="lane" d="M{left:g} {y:g}H{WIDTH - RIGHT:g}V{y + LANE:g}H{left:g}Z"/>'
        )
        for first, last, level in zip(edges[:-1], edges[1:], lane.level / most, strict=True):
            if level > 0:
                x, end = left + (float(first) - edges[0]) * scale, left + (float(last) - edges[0]) * scale
                body.append(
                    f'<path class="busy" fill-opacity="{0.25 + 0.75 * float(level):.2f}" '
                    f'd="M{x:.1f} {y:g}H{end:.1f}V{y + LANE:g}H{x:.1f}Z"/>'
                )
    more = f"; {len(lanes) - SHOWN} more nodes are not drawn" if len(lanes) > SHOWN else ""
    return Chart(title=title, svg=svg(title, description, body, height=height), description=description + more)


def _axis(edges: Floats, *, left: float, scale: float, height: float, x_label: str) -> str:
    base = height - FOOT + 4
    parts = [f'<path class="axis" d="M{left:g} {base:g}H{WIDTH - RIGHT:g}"/>']
    for value in ticks(float(edges[0]), float(edges[-1]), wanted=6):
        x = left + (value - float(edges[0])) * scale
        if left - 1 <= x <= WIDTH - RIGHT + 1:
            parts.append(
                f'<text class="tick" x="{x:.1f}" y="{base + 18:g}" text-anchor="middle">{tick_text(value)}</text>'
            )
    parts.append(
        f'<text class="label" x="{(left + WIDTH - RIGHT) / 2:g}" y="{height - 7:g}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
    )
    return "".join(parts)
