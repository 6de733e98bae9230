"""How the run's rate was found."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.report.charts import Limit, Line, line_chart
from harness.report.document import Block, Chart, Charts, Items, Section, Table, Tone
from harness.report.flat import value_text
from harness.report.load import RunData
from harness.rundir.tuning import Model, Probe, TuneRecord

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
    charts = [chart for name in ("ttft", "tpot") for chart in _chart(run, run.tune, name)]
    blocks += [Charts(charts=charts), _table(probes)]
    if run.tune.model is not None and run.tune.model.corrections:
        blocks.append(_corrections(run.tune.model))
    return [Section(title="Search for the rate", blocks=blocks)]


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
        said = "Confirmed by LoadGen" if run.valid else "Refused by LoadGen"
        yield f"{said} at {rate} ({run.directory}): {word}.", "good" if run.valid else "bad"
    for line in (tune.user_conf or "").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield f"For user.conf: {line.strip()}", "good"


def _chart(run: RunData, tune: TuneRecord, name: str) -> Iterator[Chart]:
    """The 99th percentile of one latency against the rate: of long runs as they were played, of the probes and of
    LoadGen's confirmations; nothing where no probe has it."""
    field = f"{name}_p99_ms"
    found = [
        _points("probes", [(p.target_qps, getattr(p, field)) for p in tune.probes], tone=1),
        _points("LoadGen's runs", [(c.target_qps, getattr(c, field)) for c in tune.confirmations], tone=3),
    ]
    lines = [line for line in found if line is not None]
    if found[0] is None:
        return
    if tune.model is not None and tune.model.curve:
        x = np.array([point.rate for point in tune.model.curve])
        median, low, high = np.array([getattr(point, field) for point in tune.model.curve]).T
        lines.insert(0, Line(name="runs of full length, played", x=x, y=median, low=low, high=high, tone=2))
    limit = run.limits_ms[name]
    yield line_chart(
        title=f"{name.upper()} p99 at each rate",
        x_label="target_qps",
        y_label="ms",
        description=f"{len(tune.probes)} probes and {len(tune.confirmations)} runs of LoadGen's",
        lines=lines,
        limits=[Limit(value=limit, label=f"limit {limit:,.0f} ms")] if limit is not None else [],
    )


def _points(name: str, pairs: list[tuple[float | None, float | None]], *, tone: int) -> Line | None:
    """Points that nothing joins: what lies between two rates is the model's to say. None where there are none."""
    known = [(rate, value) for rate, value in pairs if rate is not None and value is not None]
    if not known:
        return None
    x, y = np.array(known).T
    gaps = np.column_stack([y, np.full(len(y), np.nan)]).ravel()
    return Line(name=name, x=np.repeat(x, 2), y=gaps, points=True, tone=tone)


def _corrections(model: Model) -> Table:
    """What real queries said of the playing: 1.01 is steps that take 1 % longer than the three numbers say."""
    return Table(
        caption="Pace of the steps by real queries, each played with its own arrivals",
        columns=["queries of", "target_qps", "pace", "error", "queries", "TTFT added, ms"],
        rows=[
            [c.source, f"{c.rate:g}", f"{c.pace:.4f}", f"{100 * c.error:.2f} %", f"{c.queries:,}", f"{c.ttft_ms:.1f}"]
            for c in model.corrections
        ],
        numeric=frozenset(range(1, 6)),
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
