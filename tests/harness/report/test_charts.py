"""Charts can be read: every series is visible, and a label stands where the curve is not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from harness import report
from harness.report.charts import Limit, Line, histogram, line_chart

CSS = (Path(report.__file__).parent / "templates" / "report.css").read_text()


@pytest.mark.parametrize("tone", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", ["line", "dot"])
def test_every_tone_has_a_colour(shape: str, tone: int) -> None:
    rules = re.findall(r"([^{}]+)\{([^{}]+)\}", CSS)
    found = [body for selectors, body in rules if f"svg .{shape}.s{tone}" in [s.strip() for s in selectors.split(",")]]
    assert any(f"stroke: var(--s{tone})" in body for body in found)


def label_of(svg: str, text: str) -> tuple[float, float]:
    found = re.search(rf'x="([\d.]+)" y="([\d.]+)" text-anchor="end">{text}', svg)
    assert found
    return float(found[1]), float(found[2])


@pytest.mark.parametrize(("offset", "below"), [(5.0, True), (-5.0, False)])
def test_a_level_s_label_keeps_clear_of_the_curve(offset: float, below: bool) -> None:
    x = np.linspace(0, 100, 200)
    curve = Line(name="tokens/s", x=x, y=np.append(150.0, np.full(199, 100.0 + offset)))
    svg = line_chart(
        title="t", description="d", x_label="s", y_label="y", lines=[curve], limits=[Limit(value=100.0, label="mean")]
    ).svg
    level = re.search(r'class="limit" d="M[\d.]+ ([\d.]+)H', svg)
    assert level
    assert (label_of(svg, "mean")[1] > float(level[1])) is below


def test_the_count_beyond_the_edge_does_not_cross_a_limit() -> None:
    edges = np.linspace(0, 2100, 81)
    svg = histogram(
        title="t",
        description="d",
        x_label="ms",
        counts=np.ones(80),
        edges=edges,
        limits=[Limit(value=2000.0, label="limit")],
        overflow=3,
    ).svg
    line = re.search(r'class="limit" d="M([\d.]+) ', svg)
    assert line and label_of(svg, "3 further right")[0] < float(line[1])
