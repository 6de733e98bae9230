"""A scaling or coordinated benchmark: how the throughput grows with the workers, and each node's and worker's share."""

from __future__ import annotations

from pathlib import Path

from harness.report.document import Block, Card, Cards, Charts, Items, Section, Table, Text
from harness.report.load import RunData
from harness.report.over_time import NodeSamples, busy_chart, of_run, throughput_chart
from harness.report.sections.execution.words import gigabytes, rate, seconds, share, text
from harness.report.speed_up import Step, speed_up_chart
from harness.rundir.record import RunRecord
from harness.rundir.result import Reading
from harness.rundir.scaling import Efficiency, ScalingRecord, ScalingStep
from harness.text import UNKNOWN, date, number
from mlperf_llama_base.errors import UserError

READINGS = ("utilisation_pct", "busiest_core_pct", "used_bytes", "memory_used_bytes", "power_w", "temperature_c")


def sections(run: RunData) -> list[Section]:
    """Of ``scaling.json``; the pictures over time from the runs of its last step, where they are still there."""
    record = run.scaling
    if record is None or not record.steps:
        return []
    last = record.steps[-1]
    return [
        _summary(record, last),
        _scaling(record),
        _nodes(record, last, run.directory),
        _workers(last),
        _tokens(last),
        _use(last.resources),
        Section(
            title="Issues found",
            blocks=[Items(items=[(said, "warn") for said in record.issues])] if record.issues else [Text(text="None.")],
        ),
    ]


def _summary(record: ScalingRecord, last: ScalingStep) -> Section:
    found = last.scaling or Efficiency(workers=len(last.workers))
    before = last.headline
    facts = "; ".join(f"{name}: {value}" for name, value in record.facts.items() if value is not None)
    counts = last.samples
    blocks: list[Block] = [Text(text=f"{before}.", tone="bad")] if before else []
    blocks += [
        Text(text=f"{len(last.workers)} worker(s) on {len(last.nodes)} node(s), {date(record.time)}. {facts}."),
        Cards(
            cards=[
                Card(label="tokens/s", value=number(last.tokens_per_second.value), note=_interval(last)),
                Card(label="samples/s", value=number(last.samples_per_second)),
                Card(
                    label="samples completed",
                    value=f"{number(counts.completed)} of {number(counts.issued)}",
                    note=f"{number(counts.lost)} lost, {number(counts.retried)} given to another worker",
                    tone="bad" if counts.lost else "",
                ),
                Card(
                    label="efficiency",
                    value=share(found.efficiency),
                    note=f"± {100 * found.efficiency_ci95:.1f}" if found.efficiency_ci95 is not None else "",
                ),
            ]
        ),
    ]
    title = "Coordinated benchmark" if record.kind == "coordinated" else "Scaling"
    return Section(title=title, blocks=blocks)


def _interval(step: ScalingStep) -> str:
    half = step.tokens_per_second.ci95
    return "interval unknown" if half is None else f"± {half:,.1f}"


def _scaling(record: ScalingRecord) -> Section:
    steps = sorted(record.steps, key=lambda step: len(step.workers))
    chart = speed_up_chart([_step(step, step.scaling) for step in steps if step.scaling is not None])
    baselines = Table(
        caption="Baselines: one worker alone, measured in this run",
        columns=["worker", "tokens/s", "samples/s", "samples", "duration"],
        numeric=frozenset({1, 2, 3, 4}),
        rows=[
            [
                kind,
                rate(alone.tokens_per_second),
                number(alone.samples_per_second),
                number(alone.samples_completed),
                seconds(alone.seconds),
            ]
            for kind, alone in record.baselines.items()
        ],
    )
    blocks: list[Block] = [*([Charts(charts=[chart])] if chart else []), baselines, _steps(steps)]
    return Section(title="Scaling analysis", blocks=blocks)


def _step(step: ScalingStep, found: Efficiency) -> Step:
    up, whole, half = found.speed_up, found.efficiency, found.efficiency_ci95
    return Step(
        workers=found.workers,
        speed_up=up,
        ideal=up / whole if up and whole else None,
        half=up * half / whole if up and whole and half is not None else None,
    )


def _steps(steps: list[ScalingStep]) -> Table:
    return Table(
        caption="Speed by number of workers; ± is half of the 95 % interval, from the scatter over 20 equal "
        "segments of "
        "a test. Speed-up is against the fastest baseline, efficiency against the sum of what the workers do alone",
        columns=["run", "workers", "tokens/s", "speed-up", "efficiency", "issued", "completed", "lost", "imbalance"],
        numeric=frozenset(range(1, 9)),
        rows=[
            [
                step.directory,
                str(len(step.workers)),
                rate(step.tokens_per_second),
                number(step.scaling.speed_up if step.scaling else None),
                share(step.scaling.efficiency, step.scaling.efficiency_ci95) if step.scaling else UNKNOWN,
                number(step.samples.issued),
                number(step.samples.completed),
                number(step.samples.lost),
                share(step.imbalance),
            ]
            for step in steps
        ],
    )


def _nodes(record: ScalingRecord, last: ScalingStep, directory: Path) -> Section:
    table = Table(
        caption="Nodes; a request's latency counts from when a worker was given it",
        columns=["node", "workers", "GPUs", "samples", "tokens/s", "samples/s", "latency, mean", "p50", "p99"],
        numeric=frozenset({1, 3, 4, 5, 6, 7, 8}),
        rows=[
            [
                text(node.node),
                str(node.workers),
                ", ".join(node.kinds),
                number(node.samples_completed),
                rate(node.tokens_per_second),
                number(node.samples_per_second),
                *(seconds(getattr(node.latency_s, name, None)) for name in ("mean", "p50", "p99")),
            ]
            for node in last.nodes
        ],
    )
    samples = _samples(record, last, directory)
    charts = [chart for make in (throughput_chart, busy_chart) if (chart := make(samples, record.kind)) is not None]
    return Section(title="Per-node results", blocks=[table, *([Charts(charts=charts)] if charts else [])])


def _samples(record: ScalingRecord, last: ScalingStep, directory: Path) -> list[NodeSamples]:
    """By node, of the runs that the last step is made of; nothing of what cannot be read."""
    try:
        if record.kind != "coordinated":
            return of_run(RunRecord(directory / last.directory))
        return [
            part
            for member in last.members
            if member.status in ("ok", "invalid")
            for part in of_run(RunRecord(directory / member.name), node=member.name, start=member.began_s or 0.0)
        ]
    except UserError:
        return []


def _workers(last: ScalingStep) -> Section:
    table = Table(
        caption="Workers",
        columns=["node", "worker", "GPU", "samples", "tokens/s", "restarts", "memory of the process"],
        numeric=frozenset({3, 4, 5, 6}),
        rows=[
            [
                text(worker.node),
                str(worker.id),
                worker.kind,
                number(worker.samples_completed),
                rate(worker.tokens_per_second),
                number(worker.restarts),
                gigabytes(worker.rss_bytes),
            ]
            for worker in last.workers
        ],
    )
    imbalance = Text(text=f"Imbalance, fastest to slowest worker against the mean: {share(last.imbalance)}.")
    return Section(title="Per-GPU results", blocks=[table, imbalance])


def _tokens(last: ScalingStep) -> Section:
    table = Table(
        caption="Tokens of a sample",
        columns=["tokens", "mean", "min", "p50", "p99", "max", "total"],
        numeric=frozenset(range(1, 7)),
        rows=[
            [name, f"{t.mean:.1f}", number(t.min), number(t.p50), number(t.p99), number(t.max), number(t.total)]
            for name, t in last.tokens.items()
        ],
    )
    return Section(title="Token statistics", blocks=[table])


def _use(resources: dict[str, Reading]) -> Section:
    rows = []
    for name, value in resources.items():
        if name.rsplit("/", 1)[-1] in READINGS:
            scale, unit = (1e-9, " GB") if name.endswith("_bytes") else (1.0, "")
            rows.append([name, f"{value.mean * scale:.1f}{unit}", f"{value.max * scale:.1f}{unit}"])
    if not rows:
        return Section(title="Resource use", blocks=[Text(text="Not recorded.")])
    table = Table(
        caption="Readings", columns=["node / source / reading", "mean", "max"], numeric=frozenset({1, 2}), rows=rows
    )
    return Section(title="Resource use", blocks=[table])
