"""How the run's rate was found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from harness.report.charts import Limit, Line, line_chart
from harness.report.document import Block, Chart, Charts, Section, Table, Text
from harness.report.flat import value_text
from harness.report.load import RunData

COLUMNS = ("target_qps", "valid", "ttft_p99_ms", "tpot_p99_ms", "samples_per_second", "duration_s", "reason")


def sections(run: RunData) -> list[Section]:
    """The probes of ``tune.json``: a rate, whether it was valid, its latencies."""
    probes = [p for p in run.tune.get("probes") or [] if isinstance(p.get("target_qps"), int | float)]
    if not probes:
        return []
    probes.sort(key=lambda p: p["target_qps"])
    best = run.tune.get("best_qps")
    blocks: list[Block] = [Text(text=f"Highest valid rate found: {best:g} samples/s.")] if best else []
    charts = [chart for name in ("ttft", "tpot") for chart in _chart(run, probes, name)]
    return [Section(title="Search for the rate", blocks=[*blocks, Charts(charts=charts), _table(probes)])]


def _chart(run: RunData, probes: list[dict[str, Any]], name: str) -> Iterator[Chart]:
    """The 99th percentile of one latency against the rate; nothing where no probe has it."""
    rate = np.array([float(p["target_qps"]) for p in probes])
    values = np.array([np.nan if p.get(f"{name}_p99_ms") is None else float(p[f"{name}_p99_ms"]) for p in probes])
    if not np.isfinite(values).any():
        return
    limit = run.limits_ms[name]
    yield line_chart(
        title=f"{name.upper()} p99 at each probed rate",
        x_label="target_qps",
        y_label="ms",
        description=f"{len(probes)} probes from {rate.min():g} to {rate.max():g} samples/s",
        lines=[Line(name=name, x=rate, y=values, points=True)],
        limits=[Limit(value=limit, label=f"limit {limit:,.0f} ms")] if limit is not None else [],
    )


def _table(probes: list[dict[str, Any]]) -> Table:
    keys = [key for key in COLUMNS if any(p.get(key) is not None for p in probes)]
    return Table(
        caption="Probes",
        columns=keys,
        rows=[[value_text(p.get(key)) for key in keys] for p in probes],
        numeric=frozenset(i for i, key in enumerate(keys) if key != "reason"),
    )
