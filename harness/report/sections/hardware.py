"""The machines over time, and what the GPUs used."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from harness.report.charts import Line, line_chart
from harness.report.document import Block, Chart, Charts, Folded, Section, Table, Text
from harness.report.insights import during
from harness.report.load import Floats, RunData
from harness.report.scale import BINS, binned, edges_over
from harness.rundir.energy import Energy, window
from harness.text import number

_GPU_CHARTS = [
    ("utilisation_pct", "GPU utilisation", "%", 1.0),
    ("power_w", "GPU power", "W", 1.0),
    ("sm_clock_mhz", "GPU clock (SM)", "MHz", 1.0),
    ("temperature_c", "GPU temperature", "°C", 1.0),
    ("memory_used_bytes", "GPU memory", "GB", 1e9),
]
_HOST_CHARTS = [
    ("cpu", "utilisation_pct", "Processor", "% of all cores", 1.0),
    ("cpu", "busiest_core_pct", "Busiest core", "%", 1.0),
    ("mem", "used_bytes", "Memory", "GB", 1e9),
]


def sections(run: RunData) -> list[Section]:
    if not run.metrics:
        return []
    gpu, host = list(_gpu_charts(run)), list(_host_charts(run))
    blocks: list[Block] = []
    table = _gpu_table(run)
    if table:
        blocks += [table, Charts(charts=gpu)]
    if host:
        blocks.append(Folded(summary="Processor, memory and network", blocks=[Charts(charts=host)]))
    out = [Section(title="Hardware over time", blocks=blocks)] if blocks else []
    if run.energy is not None:
        out.append(Section(title="Energy", blocks=_energy(run.energy)))
    return out


def _gpu_table(run: RunData) -> Table | None:
    gpus = sorted({(node, source) for node, source, _ in run.metrics or {} if source.startswith("gpu")})
    rows = []
    for node, source in gpus:
        fact = (run.facts.get(node) or {}).get(source) or {}
        means = [
            during(run, node, source, name)
            for name in ("utilisation_pct", "power_w", "sm_clock_mhz", "temperature_c", "memory_used_bytes")
        ]
        used, power, clock, heat, memory = means
        rows.append(
            [
                f"{node} {source}",
                str(fact.get("name") or "–"),
                _mean(used, "%"),
                _mean(power, "W") + (f" of {fact['power_limit_w']:,.0f}" if fact.get("power_limit_w") else ""),
                _mean(clock, "MHz"),
                f"{heat.max():.0f} °C" if len(heat) else "–",
                f"{memory.max() / 1e9:,.1f} GB" if len(memory) else "–",
            ]
        )
    if not rows:
        return None
    return Table(
        caption="GPUs during the test: means, highest temperature and memory",
        rows=rows,
        columns=["GPU", "model", "used", "power", "clock", "temperature", "memory"],
        numeric=frozenset(range(2, 7)),
    )


def _mean(values: Floats, unit: str) -> str:
    return f"{number(float(values.mean()))} {unit}" if len(values) else "–"


def _gpu_charts(run: RunData) -> Iterator[Chart]:
    for name, title, unit, scale in _GPU_CHARTS:
        found = {
            (node, source): pair
            for (node, source, which), pair in (run.metrics or {}).items()
            if which == name and source.startswith("gpu")
        }
        yield from _chart(run, title, unit, list(found.values()), scale, "GPUs")


def _host_charts(run: RunData) -> Iterator[Chart]:
    for source, name, title, unit, scale in _HOST_CHARTS:
        found = [pair for (_, where, which), pair in (run.metrics or {}).items() if (where, which) == (source, name)]
        yield from _chart(run, title, unit, found, scale, "nodes")
    rates = [
        (at[1:], np.diff(value) / np.maximum(np.diff(at), 1e-9))
        for (_, where, _), (at, value) in (run.metrics or {}).items()
        if where == "net" and len(at) > 1
    ]
    yield from _chart(run, "Network, each direction of each node", "MB/s", rates, 1e6, "directions")


def _chart(
    run: RunData, title: str, unit: str, found: list[tuple[Floats, Floats]], scale: float, of_what: str
) -> Iterator[Chart]:
    """One line for one series; for several their mean inside a band from the lowest to the highest."""
    found = [(at, value / scale) for at, value in found if len(at)]
    if not found:
        return
    start, _ = window(run.session)
    first, last = min(at[0] for at, _ in found), max(at[-1] for at, _ in found)
    bins = int(min(BINS, max(2, max(len(at) for at, _ in found) // 2)))
    edges = edges_over(first, last, bins)
    rows = np.array([binned(at, value, edges) for at, value in found])
    known = np.isfinite(rows).any(axis=0)
    rows, middle = rows[:, known], ((edges[:-1] + edges[1:]) / 2)[known] - (start if np.isfinite(start) else first)
    every = np.concatenate([value for _, value in found])
    said = f"mean {number(float(every.mean()))}, highest {number(float(every.max()))} {unit}"
    line = Line(name=title, x=middle, y=rows[0])
    if len(rows) > 1:
        line = Line(
            name=f"mean of {len(rows)} {of_what}, and from the lowest to the highest",
            x=middle,
            y=np.nanmean(rows, axis=0),
            low=np.nanmin(rows, axis=0),
            high=np.nanmax(rows, axis=0),
        )
    yield line_chart(title=title, description=said, x_label="seconds since the test began", y_label=unit, lines=[line])


def _energy(energy: Energy) -> list[Block]:
    rows = [
        [name, f"{joules / 1000:,.1f} kJ", f"{joules / energy.seconds:,.0f} W"]
        for name, joules in sorted(energy.per_gpu.items())
    ]
    rows.append(["together", f"{energy.total_j / 1000:,.1f} kJ", f"{energy.mean_w:,.0f} W"])
    said = []
    if energy.output_tokens_per_joule is not None:
        said.append(f"{energy.output_tokens_per_joule:.3f} output tokens per joule")
    if energy.joules_per_sample is not None:
        said.append(f"{energy.joules_per_sample:,.2f} joules per sample")
    return [
        Text(
            text=f"{', '.join(said) or 'No tokens recorded'}, over {energy.seconds:,.0f} s of the test. As the "
            "GPUs report it: no processor, memory, fans or power supply, and not an MLPerf Power result."
        ),
        Table(
            caption="Energy of the GPUs", columns=["GPU", "energy", "mean power"], rows=rows, numeric=frozenset({1, 2})
        ),
    ]
