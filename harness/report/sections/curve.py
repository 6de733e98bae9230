"""The curve of MLPerf Endpoints: what a system gives in all against what each user gets."""

from __future__ import annotations

import numpy as np

from harness.report.charts import Line, line_chart
from harness.report.document import Block, Card, Cards, Chart, Charts, Items, Section, Table, Tone
from harness.report.load import RunData
from harness.rundir.endpoints import CurveRecord, Figures, PlannedPoint
from harness.text import duration, number

Measured = list[tuple[PlannedPoint, Figures]]


def sections(run: RunData) -> list[Section]:
    """The points of ``endpoints.json``; what was not measured is left out, and said."""
    record = run.curve
    if record is None:
        return []
    found = [(p, f.figures) for p in record.plan if (f := record.points.get(p.name)) and f.figures]
    streamed = [(point, figures) for point, figures in found if figures.tps_per_user]
    blocks: list[Block] = [Items(items=_state(record))]
    if streamed:
        blocks += [_cards(record, found, streamed), Charts(charts=_charts(streamed))]
    if found:
        blocks.append(_table(record, found))
    return [Section(title="Curve", blocks=blocks)]


def _state(record: CurveRecord) -> list[tuple[str, Tone]]:
    """What this is, and what does not count of it."""
    items: list[tuple[str, Tone]] = []
    if record.rehearsal:
        items.append(("A rehearsal: nothing of it can be submitted.", "warn"))
    counted = [p for p in record.plan if (f := record.points.get(p.name)) and not f.problems]
    whole = bool(record.plan) and len(counted) == len(record.plan)
    items.append((f"{len(counted)} of {len(record.plan)} points count.", "good" if whole else "bad"))
    for name, found in record.points.items():
        items += [(f"{name}: {text}", "bad") for text in found.problems]
    verdict = record.checker or "The official checker has not judged the tree."
    tone: Tone = "" if record.checker is None else "bad" if "NOT PASSED" in record.checker else "good"
    return [*items, (verdict, tone)]


def _cards(record: CurveRecord, found: Measured, streamed: Measured) -> Cards:
    best = max(found, key=lambda pair: pair[1].system_tps)
    quick = max(streamed, key=lambda pair: pair[1].tps_per_user or 0.0)
    cards = [
        Card(
            label="tokens/s of the system",
            value=number(best[1].system_tps),
            note=f"at concurrency {best[0].concurrency:,}",
        ),
        Card(
            label="tokens/s of a user",
            value=number(quick[1].tps_per_user),
            note=f"at concurrency {quick[0].concurrency:,}",
        ),
    ]
    if best[1].tps_per_kw:
        note = f"provisioned power {number(record.power_kw)} kW"
        cards.append(Card(label="tokens/s a kW", value=number(best[1].tps_per_kw), note=note))
    return Cards(cards=cards)


def _charts(streamed: Measured) -> list[Chart]:
    """Along the curve from few users to many: a curve may turn back, where more users give the system nothing more."""
    order = sorted(streamed, key=lambda pair: pair[0].concurrency)
    names = [f"concurrency {point.concurrency:,}" for point, _ in order]
    user = np.array([f.tps_per_user or np.nan for _, f in order])
    total = np.array([f.system_tps for _, f in order])
    first = np.array([np.nan if f.ttft_p90_ms is None else f.ttft_p90_ms for _, f in order])
    charts = [
        line_chart(
            title="Throughput against interactivity",
            description=f"from {number(float(total[0]))} tokens/s at {number(float(user[0]))} for each user "
            f"({names[0]}) to {number(float(total[-1]))} at {number(float(user[-1]))} ({names[-1]})",
            x_label="tokens/s of a user (1000 / TPOT p90)",
            y_label="tokens/s of the system",
            lines=[Line(name="system", x=user, y=total, points=True, names=names)],
        ),
        line_chart(
            title="First token against throughput",
            description=f"TTFT p90 from {number(float(np.nanmin(first)))} to {number(float(np.nanmax(first)))} ms",
            x_label="tokens/s of the system",
            y_label="TTFT p90 (ms)",
            lines=[Line(name="TTFT p90", x=total, y=first, points=True, names=names)],
        ),
    ]
    if all(f.tps_per_kw for _, f in order):
        power = np.array([f.tps_per_kw or np.nan for _, f in order])
        charts.append(
            line_chart(
                title="Throughput of a kilowatt against interactivity",
                description=f"up to {number(float(power.max()))} tokens/s for each kW of provisioned power",
                x_label="tokens/s of a user (1000 / TPOT p90)",
                y_label="tokens/s a kW",
                lines=[Line(name="a kW", x=user, y=power, points=True, names=names)],
            )
        )
    return charts


def _table(record: CurveRecord, found: Measured) -> Table:
    return Table(
        caption="The points as MLCommons' client measured them",
        columns=[
            "point",
            "region",
            "tokens/s",
            "a user",
            "TTFT p90 ms",
            "TPOT p90 ms",
            "a kW",
            "ROUGE-1",
            "requests",
            "time",
        ],
        numeric=frozenset(range(2, 10)),
        rows=[
            [
                point.name + (f" ({point.offline} Offline)" if point.offline != "none" else ""),
                point.region,
                number(f.system_tps),
                number(f.tps_per_user),
                number(f.ttft_p90_ms),
                number(f.tpot_p90_ms),
                number(f.tps_per_kw),
                number((record.points[point.name].scores or {}).get("rouge1")),
                f"{f.samples:,}",
                duration(f.duration_s),
            ]
            for point, f in found
        ],
    )
