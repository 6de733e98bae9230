"""How the run's rate was found."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.report.charts import Limit, Line, line_chart
from harness.report.document import Block, Chart, Charts, Items, Section, Table, Tone
from harness.report.flat import value_text
from harness.report.load import RunData
from harness.rundir.tuning import Probe, TuneRecord

COLUMNS = ("target_qps", "valid", "ttft_p99_ms", "tpot_p99_ms", "samples_per_second", "duration_s", "reason")


def sections(run: RunData) -> list[Section]:
    """What ``tune.json`` has found, and its probes: a rate, whether it was valid, its latencies."""
    if run.tune is None:
        return []
    probes = sorted(run.tune.probes, key=lambda probe: probe.target_qps)
    found = list(_found(run.tune))
    blocks: list[Block] = [Items(items=found)] if found else []
    if not probes:
        return [Section(title="Search for the rate", blocks=blocks)] if blocks else []
    charts = [chart for name in ("ttft", "tpot") for chart in _chart(run, probes, name)]
    return [Section(title="Search for the rate", blocks=[*blocks, Charts(charts=charts), _table(probes)])]


def _found(tune: TuneRecord) -> Iterator[tuple[str, Tone]]:
    """The rate to run at, what it follows from, what LoadGen said of it, and the lines for user.conf."""
    if tune.best_qps:
        yield f"Rate to run at: {tune.best_qps:g} samples/s ({tune.confidence or 'confidence not recorded'}).", "good"
    if tune.target_latency_ms:
        yield f"Mean latency to give LoadGen: {tune.target_latency_ms:g} ms.", "good"
    if tune.knee_qps:
        limit = f", limited by {tune.bracket.limited_by}" if tune.bracket and tune.bracket.limited_by else ""
        yield f"Knee: {tune.knee_qps:g} samples/s{limit}.", ""
    if tune.capacity:
        full = tune.capacity
        yield f"Kept full with {full.outstanding:,} samples: {full.samples_per_second:g} samples/s.", ""
    if tune.engine_settings:
        chosen = ", ".join(f"{key} {value_text(value)}" for key, value in tune.engine_settings.items())
        yield f"Engine settings that were best: {chosen}.", ""
    for run in tune.confirmations:
        rate = f"{run.target_qps:g} samples/s" if run.target_qps else f"{run.target_latency_ms or 0:g} ms"
        word = "valid" if run.valid else "not valid: " + "; ".join(run.reasons)
        yield f"Confirmed by LoadGen at {rate} ({run.directory}): {word}.", "good" if run.valid else "bad"
    for line in (tune.user_conf or "").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield f"For user.conf: {line.strip()}", "good"


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
        rows=[[_cell(getattr(probe, key)) for key in keys] for probe in probes],
        numeric=frozenset(i for i, key in enumerate(keys) if key != "reason"),
    )


def _cell(value: object) -> str:
    """A probe's figures to what they are sure of; a rate to the hundredth."""
    if isinstance(value, float):
        return f"{value:,.2f}".rstrip("0").rstrip(".")
    return value_text(value)
