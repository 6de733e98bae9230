"""``report.md`` and ``scaling.json`` of a scaling or coordinated benchmark. Every number in them was measured."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.rundir import names
from harness.rundir.files import write_record
from harness.rundir.result import Reading
from harness.rundir.scaling import Efficiency, Rate, ScalingRecord, ScalingStep, Speed
from harness.scaling.analysis import headline, issues
from harness.text import harmless


def save(
    folder: Path,
    *,
    kind: str,
    baselines: dict[str, ScalingStep],
    steps: list[ScalingStep],
    facts: dict[str, str | int | None],
    known: Sequence[str] = (),
) -> ScalingRecord:
    """Write both files. ``steps``: with ``scaling``; the last one is the whole machine. ``known``: further issues."""
    record = ScalingRecord(
        kind=kind,
        time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        facts=facts,
        baselines=baselines,
        steps=steps,
        issues=[*known, *issues([*baselines.values(), *steps])],
    )
    write_record(folder / names.SCALING, record)
    (folder / names.REPORT_MARKDOWN).write_text(harmless(markdown(record)), encoding="utf-8")
    return record


def markdown(record: ScalingRecord) -> str:
    last = record.steps[-1]
    sections = (_head, _nodes, _workers, _analysis, _token_statistics, _resource_use)
    lines = [line for section in sections for line in section(record, last)]
    return "\n".join([*lines, "## Issues found", "", *([f"- {text}" for text in record.issues] or ["None."]), ""])


def _head(record: ScalingRecord, last: ScalingStep) -> list[str]:
    s = last.samples
    before = headline(last)
    title = "Coordinated benchmark" if record.kind == "coordinated" else "Scaling"
    return [
        f"# {title}: {len(last.workers)} worker(s) on {len(last.nodes)} node(s)",
        "",
        f"{record.time}. " + "; ".join(f"{k}: {v}" for k, v in record.facts.items() if v is not None) + ".",
        "",
        *([f"**{before}.**", ""] if before else []),
        f"**{_speed(last.tokens_per_second)} tokens/s**, {last.samples_per_second:.2f} samples/s; "
        f"{s.issued} samples issued, {s.completed} completed, {s.lost} lost; efficiency {_efficiency(last)}.",
        "",
    ]


def _nodes(_: ScalingRecord, last: ScalingStep) -> list[str]:
    heads = ("node", "workers", "GPUs", "samples", "tokens/s", "samples/s", "latency mean s", "p50 s", "p99 s")
    rows = (
        (
            n.node,
            n.workers,
            ", ".join(n.kinds),
            n.samples_completed,
            _speed(n.tokens_per_second),
            f"{n.samples_per_second:.2f}",
            *_latency(n),
        )
        for n in last.nodes
    )
    return ["## Per-node results", "", *table(heads, rows)]


def _workers(_: ScalingRecord, last: ScalingStep) -> list[str]:
    heads = ("node", "worker", "GPU", "samples", "tokens/s", "latency p99 s", "restarts", "memory of the process MB")
    rows = (
        (
            w.node,
            w.id,
            w.kind,
            w.samples_completed,
            _speed(w.tokens_per_second),
            _latency(w)[2],
            w.restarts,
            "-" if w.rss_bytes is None else f"{w.rss_bytes / 1e6:.0f}",
        )
        for w in last.workers
    )
    imbalance = f"Imbalance, fastest to slowest worker against the mean: {_percent(last.imbalance)}."
    return ["## Per-GPU results", "", *table(heads, rows), imbalance, ""]


def _analysis(record: ScalingRecord, _: ScalingStep) -> list[str]:
    alone = (
        (kind, _speed(b.tokens_per_second), f"{b.samples_per_second:.2f}", b.samples_completed, f"{b.seconds:.1f}")
        for kind, b in record.baselines.items()
    )
    heads = ("run", "workers", "tokens/s", "speed-up", "efficiency", "issued", "completed", "lost", "imbalance")
    rows = (
        (
            x.directory,
            len(x.workers),
            _speed(x.tokens_per_second),
            _number(x.scaling.speed_up if x.scaling else None),
            _efficiency(x),
            x.samples.issued,
            x.samples.completed,
            x.samples.lost,
            _percent(x.imbalance),
        )
        for x in record.steps
    )
    return [
        "## Scaling analysis",
        "",
        "Baselines, one worker alone, measured in this run:",
        "",
        *table(("kind", "tokens/s", "samples/s", "samples", "seconds"), alone),
        *table(heads, rows),
        "± is half of the 95 % interval, from the scatter over 20 equal segments of a test (batch means). Speed-up is "
        "against the fastest baseline, efficiency against the sum of what the workers' kinds do alone.",
        "",
    ]


def _token_statistics(_: ScalingRecord, last: ScalingStep) -> list[str]:
    rows = (
        (name, f"{t.mean:.1f}", t.min, f"{t.p50:.0f}", f"{t.p99:.0f}", t.max, t.total)
        for name, t in last.tokens.items()
    )
    return [
        "## Token statistics",
        "",
        *table(("tokens of a sample", "mean", "min", "p50", "p99", "max", "total"), rows),
    ]


def _resource_use(_: ScalingRecord, last: ScalingStep) -> list[str]:
    return ["## Resource use", "", *table(("node / source / reading", "mean", "max"), _resources(last.resources))]


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return [*lines, ""]


def _resources(summary: Mapping[str, Reading]) -> list[tuple[str, str, str]]:
    wanted = ("utilisation_pct", "busiest_core_pct", "used_bytes", "memory_used_bytes", "power_w", "temperature_c")
    rows = []
    for name, value in summary.items():
        if name.rsplit("/", 1)[-1] in wanted:
            scale, unit = (1e-9, " GB") if name.endswith("_bytes") else (1.0, "")
            rows.append((name, f"{value.mean * scale:.1f}{unit}", f"{value.max * scale:.1f}{unit}"))
    return rows or [("not recorded", "-", "-")]


def _latency(row: Speed) -> tuple[str, str, str]:
    found = row.latency_s
    return ("-", "-", "-") if found is None else (f"{found.mean:.2f}", f"{found.p50:.2f}", f"{found.p99:.2f}")


def _speed(rate: Rate) -> str:
    return f"{rate.value:,.1f}" + (f" ± {rate.ci95:,.1f}" if rate.ci95 is not None else "")


def _efficiency(step: ScalingStep) -> str:
    found = step.scaling or Efficiency(workers=0)
    half = found.efficiency_ci95
    return _percent(found.efficiency) + (f" ± {half:.1%}" if half is not None else "")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
