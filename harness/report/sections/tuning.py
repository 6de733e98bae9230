"""How the run's rate was found."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.report.charts import Limit, Line, line_chart
from harness.report.document import Block, Chart, Charts, Section, Table, Text
from harness.report.flat import value_text
from harness.report.load import RunData
from harness.rundir.tuning import Probe

COLUMNS = ("target_qps", "valid", "ttft_p99_ms", "tpot_p99_ms", "samples_per_second", "duration_s", "reason")


def sections(run: RunData) -> list[Section]:
    """The probes of ``tune.json``: a rate, whether it was valid, its latencies."""
    if run.tune is None or not run.tune.probes:
        return []
    probes = sorted(run.tune.probes, key=lambda probe: probe.target_qps)
    best = run.tune.best_qps
    blocks: list[Block] = [Text(text=f"Highest valid rate found: {best:g} samples/s.")] if best else []
    charts = [chart for name in ("ttft", "tpot") for chart in _chart(run, probes, name)]
    return [Section(title="Search for the rate", blocks=[*blocks, Charts(charts=charts), _table(probes)])]


def _chart(run: RunData, probes: list[Probe], name: str) -> Iterator[Chart]:
    """The 99th percentile of one latency against the rate; nothing where no probe has it."""
    rate = np.array([probe.target_qps for probe in probes])
    found = [probe.ttft_p99_ms if name == "ttft" else probe.tpot_p99_ms for probe in probes]
    values = np.array([np.nan if value is None else value for value in found])
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


def _table(probes: list[Probe]) -> Table:
    keys = [key for key in COLUMNS if any(getattr(probe, key) is not None for probe in probes)]
    return Table(
        caption="Probes",
        columns=keys,
        rows=[[value_text(getattr(probe, key)) for key in keys] for probe in probes],
        numeric=frozenset(i for i, key in enumerate(keys) if key != "reason"),
    )
