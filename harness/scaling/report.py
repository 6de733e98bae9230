"""``report.md`` and ``scaling.json`` of a scaling or coordinated benchmark. Every number in them was measured."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.scaling.analysis import issues
from mlperf_llama_base import files

SCALING, REPORT = "scaling.json", "report.md"


def save(
    folder: Path, *, kind: str, baselines: dict[str, Any], steps: list[dict[str, Any]], facts: dict[str, Any]
) -> dict[str, Any]:
    """Write both files. ``steps``: with ``scaling``; the last one is the whole machine. Returns the JSON's tree."""
    tree = {
        "schema_version": 1,
        "kind": kind,
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "facts": facts,
        "baselines": baselines,
        "steps": steps,
        "issues": issues([*baselines.values(), *steps]),
    }
    files.write_json(folder / SCALING, tree)
    (folder / REPORT).write_text(markdown(tree))
    return tree


def markdown(tree: dict[str, Any]) -> str:
    last = tree["steps"][-1]
    s, scaling = last["samples"], last["scaling"]
    title = "Coordinated benchmark" if tree["kind"] == "coordinated" else "Scaling"
    parts = [
        f"# {title}: {len(last['workers'])} worker(s) on {len(last['nodes'])} node(s)",
        "",
        f"{tree['time']}. " + "; ".join(f"{k}: {v}" for k, v in tree["facts"].items() if v is not None) + ".",
        "",
        f"**{_speed(last['tokens_per_second'])} tokens/s**, {last['samples_per_second']:.2f} samples/s; "
        f"{s['issued']} samples issued, {s['completed']} completed, {s['lost']} lost; "
        f"efficiency {_efficiency(scaling)}.",
        "",
        "## Per-node results",
        "",
        *table(
            ("node", "workers", "GPUs", "samples", "tokens/s", "samples/s", "latency mean s", "p50 s", "p99 s"),
            (
                (
                    n["node"],
                    n["workers"],
                    ", ".join(n["kinds"]),
                    n["samples_completed"],
                    _speed(n["tokens_per_second"]),
                    f"{n['samples_per_second']:.2f}",
                    *_latency(n),
                )
                for n in last["nodes"]
            ),
        ),
        "## Per-GPU results",
        "",
        *table(
            ("node", "worker", "GPU", "samples", "tokens/s", "latency p99 s", "restarts", "memory of the process MB"),
            (
                (
                    w["node"],
                    w["id"],
                    w["gpu"] or "CPU",
                    w["samples_completed"],
                    _speed(w["tokens_per_second"]),
                    _latency(w)[2],
                    w["restarts"],
                    f"{w['rss_bytes'] / 1e6:.0f}",
                )
                for w in last["workers"]
            ),
        ),
        f"Imbalance, fastest to slowest worker against the mean: {_percent(last['imbalance'])}.",
        "",
        "## Scaling analysis",
        "",
        "Baselines, one worker alone, measured in this run:",
        "",
        *table(
            ("kind", "tokens/s", "samples/s", "samples", "seconds"),
            (
                (
                    kind,
                    _speed(b["tokens_per_second"]),
                    f"{b['samples_per_second']:.2f}",
                    b["samples_completed"],
                    f"{b['seconds']:.1f}",
                )
                for kind, b in tree["baselines"].items()
            ),
        ),
        *table(
            ("run", "workers", "tokens/s", "speed-up", "efficiency", "issued", "completed", "lost", "imbalance"),
            (
                (
                    x["directory"],
                    x["scaling"]["workers"],
                    _speed(x["tokens_per_second"]),
                    _number(x["scaling"]["speed_up"]),
                    _efficiency(x["scaling"]),
                    x["samples"]["issued"],
                    x["samples"]["completed"],
                    x["samples"]["lost"],
                    _percent(x["imbalance"]),
                )
                for x in tree["steps"]
            ),
        ),
        "± is half of the 95 % interval, from the scatter over 20 equal segments of a test (batch means). Speed-up is "
        "against the fastest baseline, efficiency against the sum of what the workers' kinds do alone.",
        "",
        "## Token statistics",
        "",
        *table(
            ("tokens of a sample", "mean", "min", "p50", "p99", "max", "total"),
            (
                (name, f"{t['mean']:.1f}", t["min"], f"{t['p50']:.0f}", f"{t['p99']:.0f}", t["max"], t["total"])
                for name, t in last["tokens"].items()
            ),
        ),
        "## Resource use",
        "",
        *table(("node / source / reading", "mean", "max"), _resources(last["resources"])),
        "## Issues found",
        "",
        *([f"- {text}" for text in tree["issues"]] or ["None."]),
        "",
    ]
    return "\n".join(parts)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return [*lines, ""]


def _resources(summary: dict[str, dict[str, float]]) -> list[tuple[str, str, str]]:
    wanted = ("utilisation_pct", "busiest_core_pct", "used_bytes", "memory_used_bytes", "power_w", "temperature_c")
    rows = []
    for name, value in summary.items():
        if name.rsplit("/", 1)[-1] in wanted:
            scale, unit = (1e-9, " GB") if name.endswith("_bytes") else (1.0, "")
            rows.append((name, f"{value['mean'] * scale:.1f}{unit}", f"{value['max'] * scale:.1f}{unit}"))
    return rows or [("not recorded", "-", "-")]


def _latency(row: dict[str, Any]) -> tuple[str, str, str]:
    latency = row["latency_s"]
    return ("-", "-", "-") if latency is None else tuple(f"{latency[k]:.2f}" for k in ("mean", "p50", "p99"))  # type: ignore[return-value]


def _speed(rate: dict[str, Any]) -> str:
    return f"{rate['value']:,.1f}" + (f" ± {rate['ci95']:,.1f}" if rate["ci95"] is not None else "")


def _efficiency(scaling: dict[str, Any]) -> str:
    half = scaling["efficiency_ci95"]
    return _percent(scaling["efficiency"]) + (f" ± {half:.1%}" if half is not None else "")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
