"""The plan and the curve as tables for a terminal."""

from __future__ import annotations

from rich.table import Table

from harness.endpoints.plan import rate_at, seconds
from harness.endpoints.regions import Region, regions
from harness.endpoints.runner import Curve
from harness.rounds import ENDPOINTS
from harness.text import UNKNOWN, duration, number

LABELS = {
    Region.ULTRA_LOW: "Ultra Low",
    Region.LOW: "Low",
    Region.MEDIUM: "Medium",
    Region.HIGH: "High",
    Region.MARGIN: "margin",
    Region.CHOICE: "",
}


def plan_table(curve: Curve, *, preview: bool = False) -> Table:
    """Every point with what it must do, and how long it takes. ``preview``: nothing is known of what was run."""
    record = curve.record
    table = Table(title=f"MLPerf Endpoints {ENDPOINTS.version}, {ENDPOINTS.model_name}", title_justify="left")
    for name in ("point", "region", "ROUGE", "Offline", "state"):
        table.add_column(name)
    for name in ("req./s", "requests", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    total = 0.0
    for point in record.plan:
        rate = rate_at(point.concurrency, record.measured)
        took = seconds(point, rate, samples=curve.rows)
        found = record.points.get(point.name)
        state = ("to run" if found is None else "measured") if preview else curve.why_run(point) or "done"
        total += 0.0 if state in ("done", "measured") else took
        table.add_row(
            point.name,
            LABELS[Region(point.region)],
            "yes" if point.accuracy else "",
            "" if point.offline == "none" else point.offline,
            state,
            number(rate),
            f"{curve.samples(point):,}",
            duration(took, rough=True),
        )
    table.add_section()
    table.add_row(f"{len(record.plan)} points", "", "", "", "left to run", "", "", duration(total, rough=True))
    measured = [point.concurrency for point in record.plan if not point.dedicated]
    table.caption = str(regions(max(measured), min(measured)))
    return table


def curve_table(curve: Curve) -> Table:
    """What was measured at each point."""
    table = Table(title="Curve", title_justify="left")
    table.add_column("point")
    for name in ("tokens/s", "tokens/s a user", "TTFT p90 ms", "tokens/s a kW", "ROUGE-1", "took"):
        table.add_column(name, justify="right")
    table.add_column("counts")
    for point in curve.record.plan:
        found = curve.record.points.get(point.name)
        if found is None:
            table.add_row(point.name, *[UNKNOWN] * 6, "not run")
            continue
        f = found.figures
        scores = found.scores or {}
        table.add_row(
            point.name,
            *(number(v) for v in ((f.system_tps, f.tps_per_user, f.ttft_p90_ms, f.tps_per_kw) if f else [None] * 4)),
            number(scores.get("rouge1")),
            duration(f.duration_s if f else None),
            found.problems[0] if found.problems else "yes",
        )
    return table
