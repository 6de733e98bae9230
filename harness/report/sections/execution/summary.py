"""What came out: each benchmark's verdict, the figures that count, what is wrong."""

from __future__ import annotations

from harness.report.document import Block, Card, Cards, Items, Section, Text, Tone
from harness.report.sections.execution.words import VERDICT, lasted, of, share
from harness.rundir.execution import OTHER_MODEL, ExecutionRecord, Part
from harness.rundir.execution_results import ClusterResult, ScalingPoint
from harness.text import UNKNOWN, date, duration, number


def section(record: ExecutionRecord) -> Section:
    """Cards, the conclusion, and every critical finding."""
    cards = [_part(part) for part in record.parts]
    if record.results:
        cards += _figures(record, next((r for r in record.results if record.counts(r)), record.results[0]))
    grave = record.grave
    nodes = len(record.environment.nodes or record.asked.nodes)
    where = f"on {nodes} node(s), {record.environment.cluster or 'kind of cluster unknown'}"
    blocks: list[Block] = [
        Text(
            text=f"{', '.join(part.name for part in record.parts)} {where}. Begun {date(record.time)}, "
            f"{duration(record.duration_s)} in all."
        ),
        Cards(cards=cards),
        Text(text=record.conclusion, tone="bad" if grave else ""),
    ]
    if grave:
        blocks.append(Items(items=[(finding.text, "bad") for finding in grave]))
    others = len(record.findings) - len(grave)
    if others:
        blocks.append(Text(text=f"{others} more under Issues and bottlenecks."))
    return Section(title="Summary", blocks=blocks)


def _part(part: Part) -> Card:
    time = "" if part.duration_s is None else lasted(part)
    code = "" if part.exit_code is None else f"exit code {part.exit_code}"
    note = ", ".join(filter(None, (time, code)))
    return Card(label=part.name, value=part.verdict, note=note, tone=VERDICT[part.verdict])


def _figures(record: ExecutionRecord, result: ClusterResult) -> list[Card]:
    """Of the part that stands for the cluster. A speed that does not count is not shown as one that does."""
    whole: Tone = "bad" if result.samples_lost else "good" if result.samples_completed == result.samples_asked else ""
    speed = "" if record.counts(result) else "does not count"
    speed_of = result.tokens_per_second
    cards = [
        Card(
            label="nodes active",
            value=of(result.nodes_active, result.nodes_asked),
            tone="bad" if result.nodes_active < (result.nodes_asked or 0) else "",
        ),
        Card(
            label=f"samples answered, {result.part}",
            value=of(result.samples_completed, result.samples_asked),
            tone=whole,
        ),
        Card(
            label=f"tokens/s, {result.part}",
            value=number(speed_of.value if speed_of else None),
            note=", ".join(filter(None, (_half(speed_of.ci95 if speed_of else None), speed))),
            tone="warn" if speed else "",
        ),
    ]
    point = record.scaling.points[-1] if record.scaling and record.scaling.points else None
    if point is not None and point.workers > 1:
        mixed = any(finding.rule == OTHER_MODEL for finding in record.findings)
        cards.append(_efficiency(point, counts=point.valid is not False and not mixed))
    return cards


def _efficiency(point: ScalingPoint, *, counts: bool) -> Card:
    half = _half(None if point.efficiency_ci95 is None else 100 * point.efficiency_ci95) or "interval unknown"
    return Card(
        label=f"efficiency of {point.workers} workers",
        value=share(point.efficiency),
        note=f"{half}; {_beside(point.speed_up, point.ideal)}" + ("" if counts else "; does not count"),
        tone="" if counts else "warn",
    )


def _half(value: float | None) -> str:
    return "" if value is None else f"± {number(value)}"


def _beside(speed_up: float | None, ideal: float | None) -> str:
    return UNKNOWN if speed_up is None else f"{speed_up:.2f} times one worker" + (f" of {ideal:.2f}" if ideal else "")
