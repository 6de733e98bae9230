"""Where the run stands among published ones, how its rate was found, how it scales, and how it was set."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.report.charts import Limit, Line, line_chart
from harness.report.document import Bar, Block, Cell, Charts, Folded, Items, Section, Table, Text
from harness.report.flat import flatten, value_text
from harness.report.load import RunData
from harness.report.published import Published, Standing, standing
from harness.text import number

_UNIT = (
    "Samples/s is the unit, since submissions count one token more or less for the same sample; ≈ is worked out "
    "from the published tokens/s. An unofficial place: this run was not reviewed by MLCommons."
)
MOST_REASONS = 5


def published_section(run: RunData) -> list[Section]:
    """The run among MLCommons' published results, or nothing where there are none of its kind."""
    found = standing(run)
    if found is None:
        return []
    each = f"{found.per_accelerator:,.2f} samples/s for each of {found.count} accelerator{'s'[: found.count > 1]}"
    what = f"Published {run.scenario.directory} results"
    blocks: list[Block] = []
    if found.not_comparable:
        blocks.append(Text(text=f"NOT comparable with published results. {each} would stand here, but:", tone="warn"))
        shown = found.not_comparable[:MOST_REASONS]
        blocks.append(Items(items=[(reason, "warn") for reason in shown]))
        if len(found.not_comparable) > len(shown):
            blocks.append(Text(text=f"And {len(found.not_comparable) - len(shown)} more; the verdict lists them."))
    elif found.same:
        rank = 1 + sum(row.per_accelerator > found.per_accelerator for row in found.same)
        best = found.same[0]
        blocks.append(
            Text(
                text=f"{each}: place {rank} of {len(found.same) + 1} on {found.accelerator}, "
                f"{100 * found.per_accelerator / best.per_accelerator:.1f} % of the best published one "
                f"({best.submitter}, {best.round})."
            )
        )
    else:
        blocks.append(Text(text=f"{each}. No result on this accelerator was published."))
    if found.same:
        blocks.append(_ranking(run, found, found.same, caption=f"{what} on {found.accelerator}"))
    blocks.append(
        Folded(
            summary="Every accelerator", blocks=[_ranking(run, found, found.peers, caption=f"{what} per accelerator")]
        )
    )
    sources = "; ".join(sorted({row.source for row in found.peers}))
    blocks.append(Text(text=f"{_UNIT} Sources: {sources}."))
    return [Section(title="Among published results", blocks=blocks)]


def _ranking(run: RunData, found: Standing, rows: list[Published], *, caption: str) -> Table:
    most = max([found.per_accelerator, *(row.per_accelerator for row in rows)])
    engine = str((run.session.get("engine") or {}).get("name", "–"))
    name = f"{run.name}, not comparable" if found.not_comparable else run.name
    own: list[Cell] = [
        f"this run ({name})",
        ", ".join(sorted(set(run.gpu_names))) or "CPU",
        str(found.count),
        Bar(text=f"{found.per_accelerator:,.2f}", share=found.per_accelerator / most, strong=True),
        number(run.result.get("tokens_per_second")),
        engine,
    ]
    table: list[tuple[float, list[Cell]]] = [(found.per_accelerator, own)]
    for row in rows:
        note = f" ({row.note})" if row.note else ""
        table.append(
            (
                row.per_accelerator,
                [
                    f"{row.submitter}, {row.system}, {row.round}{note}",
                    row.accelerator,
                    str(row.count),
                    Bar(
                        text=f"{'≈ ' if row.estimated else ''}{row.per_accelerator:,.2f}",
                        share=row.per_accelerator / most,
                    ),
                    f"{row.tokens_per_s:,.0f}",
                    ", ".join(part for part in (row.software, row.precision) if part) or "–",
                ],
            )
        )
    table.sort(key=lambda item: item[0], reverse=True)
    return Table(
        caption=caption,
        rows=[cells for _, cells in table],
        numeric=frozenset({2, 4}),
        columns=["result", "accelerator", "count", "samples/s per accelerator", "tokens/s in all", "software"],
    )


def tuning_section(run: RunData) -> list[Section]:
    """The probes of ``tune.json``: ``{"probes": [{"target_qps", "valid", "ttft_p99_ms", "tpot_p99_ms", ...}]}``."""
    probes = [p for p in run.tune.get("probes") or [] if isinstance(p.get("target_qps"), int | float)]
    if not probes:
        return []
    probes.sort(key=lambda p: p["target_qps"])
    rate = np.array([float(p["target_qps"]) for p in probes])
    charts = []
    for name in ("ttft", "tpot"):
        values = np.array([np.nan if p.get(f"{name}_p99_ms") is None else float(p[f"{name}_p99_ms"]) for p in probes])
        if not np.isfinite(values).any():
            continue
        limit = run.limits_ms[name]
        limits = [Limit(value=limit, label=f"limit {limit:,.0f} ms")] if limit is not None else []
        charts.append(
            line_chart(
                title=f"{name.upper()} p99 at each probed rate",
                x_label="target_qps",
                y_label="ms",
                description=f"{len(probes)} probes from {rate.min():g} to {rate.max():g} samples/s",
                lines=[Line(name=name, x=rate, y=values, points=True)],
                limits=limits,
            )
        )
    keys = [
        key
        for key in ("target_qps", "valid", "ttft_p99_ms", "tpot_p99_ms", "samples_per_second", "duration_s", "reason")
        if any(p.get(key) is not None for p in probes)
    ]
    rows: list[list[Cell]] = [[value_text(p.get(key)) for key in keys] for p in probes]
    found = run.tune.get("best_qps")
    blocks: list[Block] = [Text(text=f"Highest valid rate found: {found:g} samples/s.")] if found else []
    return [
        Section(
            title="Search for the rate",
            blocks=[
                *blocks,
                Charts(charts=charts),
                Table(
                    caption="Probes",
                    columns=keys,
                    rows=rows,
                    numeric=frozenset(i for i, k in enumerate(keys) if k != "reason"),
                ),
            ],
        )
    ]


def scaling_section(run: RunData) -> list[Section]:
    """The points of ``scaling.json``: ``{"points": [{"workers", "tokens_per_second", "efficiency", ...}]}``."""
    points = [p for p in run.scaling.get("points") or [] if p.get("workers") and p.get("tokens_per_second") is not None]
    if not points:
        return []
    points.sort(key=lambda p: p["workers"])
    count = np.array([float(p["workers"]) for p in points])
    rate = np.array([float(p["tokens_per_second"]) for p in points])
    ideal = count * rate[0] / count[0]
    chart = line_chart(
        title="Throughput by number of workers",
        x_label="workers",
        y_label="tokens/s",
        description=f"from {number(float(rate[0]))} tokens/s with {count[0]:g} to "
        f"{number(float(rate[-1]))} with {count[-1]:g}, "
        f"{100 * rate[-1] / ideal[-1]:.1f} % of linear",
        lines=[
            Line(name="measured", x=count, y=rate, points=True),
            Line(name="linear from the first point", x=count, y=ideal, tone=2),
        ],
    )
    keys = list(dict.fromkeys(key for p in points for key in p))
    return [
        Section(
            title="Scaling",
            blocks=[
                Charts(charts=[chart]),
                Table(
                    caption="Scaling",
                    columns=keys,
                    rows=[[value_text(p.get(key)) for key in keys] for p in points],
                    numeric=frozenset(range(len(keys))),
                ),
            ],
        )
    ]


def settings_section(run: RunData) -> list[Section]:
    """Everything that was set, and what it ran on."""
    groups: list[tuple[str, dict[str, Any]]] = [
        ("Versions", run.result.get("versions") or {}),
        ("Rules", run.result.get("rules") or {}),
        ("Model", run.session.get("model") or {}),
        ("Data set", run.session.get("dataset") or {}),
        ("Engine", run.session.get("engine") or {}),
        ("Compliance", run.result.get("compliance") or {}),
        ("Hardware", run.result.get("hardware") or {}),
        ("Configuration", run.config),
        ("LoadGen settings in effect", run.session.get("settings") or {}),
    ]
    blocks: list[Block] = []
    for title, group in groups:
        rows = [[key, value_text(value)] for key, value in flatten(group).items()]
        if rows:
            blocks.append(Folded(summary=title, blocks=[Table(caption=title, columns=["setting", "value"], rows=rows)]))
    return [Section(title="Settings and versions", blocks=blocks)] if blocks else []
