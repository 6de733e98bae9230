"""The curve of MLPerf Endpoints is drawn as it was climbed: a point follows the one of the next smaller concurrency."""

from __future__ import annotations

import re
from pathlib import Path

from harness.report import write_report
from harness.rundir import names
from harness.rundir.endpoints import CurveRecord, Figures, PlannedPoint, PointRecord
from harness.rundir.files import write_record

MEASURED = {32: (14_880.0, 498.0, 354.0), 64: (34_330.0, 769.0, 142.0), 512: (33_000.0, 246.0, 896.0)}


def lay(folder: Path, *, power_kw: float | None) -> Path:
    plan = [PlannedPoint(concurrency=c, region="low_latency", min_duration_ms=0) for c in (512, 32, 64)]
    points = {}
    for concurrency, (total, user, first) in MEASURED.items():
        figures = Figures(
            samples=10,
            duration_s=1.0,
            samples_per_second=10.0,
            system_tps=total,
            ttft_p90_ms=first,
            tps_per_user=user,
            tps_per_kw=total / power_kw if power_kw else None,
        )
        points[f"r{concurrency}"] = PointRecord(inputs="", seconds=1.0, samples=10, figures=figures)
    folder.mkdir()
    (folder / names.CONFIG).write_text("")
    write_record(folder / names.ENDPOINTS, CurveRecord(plan=plan, points=points, power_kw=power_kw))
    return folder


def drawn(page: str) -> dict[str, list[tuple[str, float, float]]]:
    """The points of each chart, by its title: name, x, y in the picture."""
    found = {}
    for title, picture in re.findall(r"<svg[^>]*><title>([^<]+)</title>(.*?)</svg>", page, re.DOTALL):
        dots = re.findall(r'<circle[^>]* cx="([\d.]+)" cy="([\d.]+)"[^>]*><title>([^<]+)</title>', picture)
        path = re.search(r'class="line s1" d="([^"]+)"', picture)
        assert path and [f"{x} {y}" for x, y, _ in dots] == re.findall(r"[ML]([\d.]+ [\d.]+)", path[1])
        found[title] = [(name, float(x), float(y)) for x, y, name in dots]
    return found


def test_the_points_follow_each_other_by_concurrency(tmp_path: Path) -> None:
    charts = drawn(write_report([lay(tmp_path / "curve", power_kw=1.5)])[0].read_text())
    assert len(charts) == 3
    for dots in charts.values():
        assert [name for name, _, _ in dots] == ["concurrency 32", "concurrency 64", "concurrency 512"]
    first, second, third = charts["Throughput against interactivity"]
    assert third[1] < first[1] < second[1]  # neither in order of what a user gets
    assert second[2] < third[2] < first[2]  # nor of what the system gives


def test_there_is_no_chart_of_a_kilowatt_without_power(tmp_path: Path) -> None:
    page = write_report([lay(tmp_path / "curve", power_kw=None)])[0].read_text()
    assert len(drawn(page)) == 2 and "kilowatt" not in page
