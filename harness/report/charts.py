"""Charts as inline SVG, made here: a few hundred points and colours that are CSS variables of the page.

A plotting library's SVG carries its own fonts and fixed colours and weighs ten times as much; a page of these follows
dark and light by itself and stays under a megabyte. Every picture has a title and a description in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from harness.report.document import Chart
from harness.report.scale import Floats, tick_text, ticks

WIDTH, HEIGHT = 560.0, 270.0
LEFT, RIGHT, TOP, BOTTOM = 62.0, 14.0, 16.0, 46.0
LABEL = 90.0  # what a label beside the right edge takes


@dataclass(frozen=True, kw_only=True)
class Line:
    """``x``, ``y``: shape [n]; NaN interrupts the line. ``low``/``high``: a band around it, with ``whiskers`` a mark at
    each point instead. ``names``: of the points, shown where one points at them. ``tone``: series 1 to 4.
    """

    name: str
    x: Floats
    y: Floats
    tone: int = 1
    low: Floats | None = None
    high: Floats | None = None
    points: bool = False
    names: Sequence[str] = ()
    whiskers: bool = False


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A value that matters, drawn across the chart."""

    value: float
    label: str
    tone: str = "limit"


class _Frame:
    """Maps values to the drawing area and draws its axes."""

    def __init__(
        self, *, x: tuple[float, float], y: tuple[float, float], x_label: str, y_label: str, whole: bool = False
    ) -> None:
        self.x_ticks, self.y_ticks = ticks(*x, wanted=6), ticks(*y)
        if whole:
            self.x_ticks = [value for value in self.x_ticks if value == int(value)]
        self.x_range = (x[0], x[1] if x[1] > x[0] else x[0] + 1)
        self.y_range = (self.y_ticks[0], self.y_ticks[-1])
        self.x_label, self.y_label = x_label, y_label

    def px(self, value: Floats | float) -> Floats:
        low, high = self.x_range
        return np.asarray(LEFT + (np.asarray(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT))

    def py(self, value: Floats | float) -> Floats:
        low, high = self.y_range
        return np.asarray(HEIGHT - BOTTOM - (np.asarray(value) - low) / (high - low) * (HEIGHT - TOP - BOTTOM))

    def axes(self) -> str:
        parts = []
        for value in self.y_ticks:
            y = float(self.py(value))
            parts.append(
                f'<path class="grid" d="M{LEFT:g} {y:.1f}H{WIDTH - RIGHT:g}"/>'
                f'<text class="tick" x="{LEFT - 7:g}" y="{y + 4.5:.1f}" text-anchor="end">'
                f"{tick_text(value)}</text>"
            )
        for value in self.x_ticks:
            x = float(self.px(value))
            if LEFT - 1 <= x <= WIDTH - RIGHT + 1:
                parts.append(
                    f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 18:g}" text-anchor="middle">'
                    f"{tick_text(value)}</text>"
                )
        parts.append(f'<path class="axis" d="M{LEFT:g} {HEIGHT - BOTTOM:g}H{WIDTH - RIGHT:g}"/>')
        middle = (TOP + HEIGHT - BOTTOM) / 2
        parts.append(
            f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2:g}" y="{HEIGHT - 7:g}" text-anchor="middle">'
            f"{escape(self.x_label)}</text>"
        )
        parts.append(
            f'<text class="label" transform="translate(14 {middle:g}) rotate(-90)" text-anchor="middle">'
            f"{escape(self.y_label)}</text>"
        )
        return "".join(parts)


def line_chart(
    *,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    lines: Sequence[Line],
    limits: Sequence[Limit] = (),
    whole: bool = False,
) -> Chart:
    """Draw lines over a common axis from zero up; ``limits`` are horizontal. ``whole``: x counts something."""
    ys = [v for line in lines for v in (line.y, line.low, line.high) if v is not None]
    values = np.concatenate([*ys, [limit.value for limit in limits]])
    values = values[np.isfinite(values)]
    xs = np.concatenate([line.x for line in lines])
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    left, right = (float(xs.min()), float(xs.max())) if len(xs) else (0.0, 1.0)
    frame = _Frame(
        x=(0.0 if 0 <= left < 0.1 * right else left, right),
        y=(min(low, 0.0), high),
        x_label=x_label,
        y_label=y_label,
        whole=whole,
    )
    body = [frame.axes()]
    for line in lines:
        if line.low is not None and line.high is not None:
            body.append(_whiskers(frame, line) if line.whiskers else _band(frame, line))
        body.append(f'<path class="line s{line.tone}" d="{_path(frame, line.x, line.y)}"/>')
        if line.points:
            body += _dots(frame, line)
    body += [_level(frame, limit, lines) for limit in limits]
    legend = [(line.name, f"s{line.tone}") for line in lines] if len(lines) > 1 or lines[0].low is not None else []
    return Chart(title=title, svg=svg(title, description, body), description=description, legend=legend)


def histogram(
    *,
    title: str,
    description: str,
    x_label: str,
    counts: Floats,
    edges: Floats,
    limits: Sequence[Limit] = (),
    overflow: int = 0,
) -> Chart:
    """Draw the share of samples in each bin; ``limits`` are vertical. ``overflow``: samples right of the last edge."""
    total = float(counts.sum()) + overflow
    share = 100 * counts / total if total else counts
    frame = _Frame(
        x=(float(edges[0]), float(edges[-1])),
        y=(0, float(share.max()) or 1.0),
        x_label=x_label,
        y_label="share of samples (%)",
    )
    base = float(frame.py(0.0))
    body = [frame.axes()]
    for left, right, value in zip(frame.px(edges[:-1]), frame.px(edges[1:]), share, strict=True):
        if value > 0:
            top, right = min(float(frame.py(float(value))), base - 0.6), max(right - 0.6, left + 0.4)
            body.append(f'<path class="bar s1" d="M{left:.1f} {base:.1f}V{top:.1f}H{right:.1f}V{base:.1f}Z"/>')
    body += [_upright(frame, limit, at) for at, limit in enumerate(limits)]
    if overflow:
        upright = [float(frame.px(limit.value)) for limit in limits if limit.value <= edges[-1]]
        right = min([WIDTH - RIGHT, *(x for x in upright if x > WIDTH - RIGHT - LABEL)])
        body.append(
            f'<text class="mark" x="{right - 5:g}" y="{TOP + 10 + 15 * len(limits):g}" '
            f'text-anchor="end">{overflow:,} further right</text>'
        )
    return Chart(title=title, svg=svg(title, description, body), description=description)


def svg(title: str, description: str, body: Sequence[str], *, height: float = HEIGHT) -> str:
    """The picture, which says in words what it shows."""
    return (
        f'<svg viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-label="{escape(title)}: {escape(description)}">'
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>{''.join(body)}</svg>"
    )


def _path(frame: _Frame, x: Floats, y: Floats) -> str:
    parts, pen = [], "M"
    for px, py, value in zip(frame.px(x), frame.py(y), y, strict=True):
        if np.isfinite(value):
            parts.append(f"{pen}{px:.1f} {py:.1f}")
            pen = "L"
        else:
            pen = "M"
    return "".join(parts)


def _dots(frame: _Frame, line: Line) -> list[str]:
    names = [f"<title>{escape(name)}</title>" for name in line.names] or [""] * len(line.x)
    return [
        f'<circle class="dot s{line.tone}" cx="{x:.1f}" cy="{y:.1f}" r="4">{name}</circle>'
        for x, y, name in zip(frame.px(line.x), frame.py(line.y), names, strict=True)
        if np.isfinite(y)
    ]


def _band(frame: _Frame, line: Line) -> str:
    assert line.low is not None and line.high is not None
    known = np.isfinite(line.low) & np.isfinite(line.high)
    there = _path(frame, line.x[known], line.high[known])
    back = _path(frame, line.x[known][::-1], line.low[known][::-1])
    return f'<path class="band s{line.tone}" d="{there}{back.replace("M", "L", 1)}Z"/>' if there else ""


def _whiskers(frame: _Frame, line: Line) -> str:
    assert line.low is not None and line.high is not None
    known = np.isfinite(line.low) & np.isfinite(line.high)
    marks = zip(frame.px(line.x[known]), frame.py(line.low[known]), frame.py(line.high[known]), strict=True)
    return "".join(
        f'<path class="whisker s{line.tone}" d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 5:.1f} {low:.1f}h10'
        f'M{x - 5:.1f} {high:.1f}h10"/>'
        for x, low, high in marks
    )


def _level(frame: _Frame, limit: Limit, lines: Sequence[Line]) -> str:
    """Its label stands where the lines are not: above, or below where they pass above it at their end."""
    y = float(frame.py(limit.value))
    crowded = sum(_crowd(frame, line, limit.value) for line in lines) > 0
    below = crowded if TOP + 12 < y < HEIGHT - BOTTOM - 18 else y <= TOP + 12
    return (
        f'<path class="{limit.tone}" d="M{LEFT:g} {y:.1f}H{WIDTH - RIGHT:g}"/>'
        f'<text class="mark {limit.tone}" x="{WIDTH - RIGHT - 3:g}" y="{y + 15 if below else y - 5:.1f}" '
        f'text-anchor="end">{escape(limit.label)}</text>'
    )


def _crowd(frame: _Frame, line: Line, value: float) -> int:
    """How many more points of a line lie just above a level than just below it, where the level's label stands."""
    near = np.isfinite(line.y) & (frame.px(line.x) > WIDTH - RIGHT - LABEL)
    away = frame.py(value) - frame.py(line.y[near])
    return int(((away > 0) & (away < 20)).sum()) - int(((away < 0) & (away > -20)).sum())


def _upright(frame: _Frame, limit: Limit, row: int) -> str:
    x = float(frame.px(limit.value))
    if not LEFT <= x <= WIDTH - RIGHT + 0.5:
        return ""
    left = x > WIDTH * 0.6
    return (
        f'<path class="{limit.tone}" d="M{x:.1f} {TOP:g}V{HEIGHT - BOTTOM:g}"/>'
        f'<text class="mark {limit.tone}" x="{x - 5 if left else x + 5:.1f}" y="{TOP + 10 + 15 * row:g}" '
        f'text-anchor="{"end" if left else "start"}">{escape(limit.label)}</text>'
    )
