"""Two runs side by side: which settings differ, and which figures differ beyond noise.

The noise is taken from the runs themselves (:mod:`harness.report.noise`): a difference of a percent or two between
single runs needs repeats.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.config import Benchmark
from harness.report.flat import flatten, flatten_record
from harness.report.load import Events, Floats, RunData, load_all
from harness.report.logged import logged_figures, logged_settings
from harness.report.noise import EQUAL, bounds, percentile_draws, rate_draws
from harness.text import UNKNOWN
from mlperf_llama_base.errors import UserError

PERCENTS = (50, 90, 99)
_NOT_SETTINGS = ("output", "overwrite", "skip_preflight", "monitor.metrics_port", "monitor.metrics_host")


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One figure. ``change``: (b - a) / a; ``low``/``high``: its 95 % interval. ``beyond_noise``: it excludes 0.

    NaN where there is no interval; ``unknown`` then says why.
    """

    name: str
    unit: str
    a: float
    b: float
    change: float
    low: float
    high: float
    beyond_noise: bool
    higher_is_better: bool
    unknown: str = "too short to tell"

    @property
    def ratio(self) -> float:
        """How good B is against A, one if they are equal, whichever direction is better."""
        if not self.a or not self.b:
            return math.nan
        return self.b / self.a if self.higher_is_better else self.a / self.b

    @property
    def verdict(self) -> str:
        if math.isnan(self.low):
            return self.unknown
        if not self.beyond_noise:
            return "within noise"
        return "better" if (self.change > 0) == self.higher_is_better else "worse"

    @property
    def interval(self) -> str:
        """``low`` and ``high`` for people."""
        if math.isnan(self.low):
            return UNKNOWN
        return f"{100 * self.low:+.2f} to {100 * self.high:+.2f} %"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """``settings``: key, value in A, value in B, where they differ. ``notes``: what to mind when reading.

    ``a_runs``, ``b_runs``: the repeats of each, where there are any; ``a`` and ``b`` are the first of them.
    """

    a: RunData
    b: RunData
    settings: list[tuple[str, Any, Any]]
    figures: list[Difference]
    notes: list[str]
    a_runs: list[RunData] = field(default_factory=list)
    b_runs: list[RunData] = field(default_factory=list)

    def under(self, share: float) -> list[str]:
        """The figures of B that are under this share of A's, beyond noise or where the noise is not known; or that
        there is nothing to compare."""
        if not self.figures:
            return [f"{self.b.name}: no figure can be compared with {self.a.name}"]
        return [
            f"{self.b.name}: {one.name} is {one.ratio:.4f} of {self.a.name}'s, under {share:g} ({one.verdict})"
            for one in self.figures
            if one.ratio < share and (one.beyond_noise or math.isnan(one.low))
        ]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: null where something is not known."""
        return {
            "a": [str(run.directory) for run in self.a_runs or [self.a]],
            "b": [str(run.directory) for run in self.b_runs or [self.b]],
            "settings": [{"name": name, "a": a, "b": b} for name, a, b in self.settings],
            "figures": [_figure(one) for one in self.figures],
            "notes": self.notes,
        }


def _figure(one: Difference) -> dict[str, Any]:
    tree = asdict(one) | {"verdict": one.verdict, "ratio": one.ratio}
    tree.pop("unknown")
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in tree.items()}


def compare(a: Path, b: Path) -> Comparison:
    """Compare two run directories, or folders with one run each. Raises ``UserError`` if one of them holds none."""
    return compare_runs(only_run(a), only_run(b))


def only_run(directory: Path) -> RunData:
    """The one run in a directory. Raises ``UserError`` if there is none, or if there are several."""
    runs, unread = load_all([directory])
    if len(runs) + len(unread) > 1:
        found = ", ".join(str(run.directory) for run in runs[:4])
        raise UserError(f"{directory} holds {len(runs)} runs; give one of them: {found}{', ...' * (len(runs) > 4)}")
    return runs[0]


def kind(run: RunData) -> tuple[str, str, str]:
    """What must be the same of two runs whose figures are compared."""
    benchmark = "" if run.benchmark is Benchmark.DATACENTER else run.benchmark.value
    return run.scenario.value, run.mode.value, benchmark


def compare_runs(a: RunData, b: RunData) -> Comparison:
    """As ``compare``, for runs that were loaded already."""
    figures = []
    if kind(a) != kind(b):
        return Comparison(a=a, b=b, settings=differing_settings(a, b), figures=[], notes=_notes(a, b))
    if a.is_foreign or b.is_foreign:
        figures = [_by_logs(*figure) for figure in logged_figures(a, b)]
    elif a.events is not None and b.events is not None and len(a.events.complete) and len(b.events.complete):
        figures = _figures(a, b, a.events, b.events)
        figures += _energy(a, b)
    return Comparison(a=a, b=b, settings=differing_settings(a, b), figures=figures, notes=_notes(a, b))


def _energy(a: RunData, b: RunData) -> list[Difference]:
    """Joules of the GPUs for a sample, where both were measured."""
    ours, theirs = (run.energy.joules_per_sample if run.energy else None for run in (a, b))
    if ours is None or theirs is None:
        return []
    return [_by_logs("Energy a sample", "J", ours, theirs, False)]


def settings_of(run: RunData) -> dict[str, Any]:
    """What was set and installed, data and GPUs; of another harness's run what LoadGen logged."""
    return logged_settings(run) if run.is_foreign else _settings(run)


def differing_settings(a: RunData, b: RunData) -> list[tuple[str, Any, Any]]:
    """Return what was set or installed differently."""
    if a.is_foreign or b.is_foreign:  # the rest is not recorded of one of them
        ours, theirs = logged_settings(a), logged_settings(b)
    else:
        ours, theirs = _settings(a), _settings(b)
    keys = dict.fromkeys([*ours, *theirs])
    return [(key, ours.get(key), theirs.get(key)) for key in keys if ours.get(key) != theirs.get(key)]


def _settings(run: RunData) -> dict[str, Any]:
    found = {key: value for key, value in flatten(run.config).items() if key not in _NOT_SETTINGS}
    versions = run.result.versions if run.result else {}
    for title, group in (("versions", versions), ("engine", flatten_record(run.session.engine))):
        found |= {f"{title}: {key}": value for key, value in group.items()}
    found |= {f"data set: {key}": getattr(run.session.dataset, key, None) for key in ("sha256", "count")}
    found["GPUs"] = ", ".join(f"{count} x {name}" for name, count in Counter(run.gpu_names).items())
    return found


def _figures(a: RunData, b: RunData, ours: Events, theirs: Events) -> list[Difference]:
    found = [
        _rate("Throughput", "tokens/s", ours, theirs, lambda e: e.output_tokens.astype(np.float64)),
        _rate("Sample rate", "samples/s", ours, theirs, lambda e: np.ones(len(e.complete))),
    ]
    figures: list[tuple[str, Callable[[Events], Floats]]] = []
    if ours.has_first_tokens and theirs.has_first_tokens:
        figures = [("TTFT", lambda e: 1000 * e.ttft), ("TPOT", lambda e: 1000 * e.tpot)]
    if a.scenario != "offline":
        figures.append(("Latency", lambda e: 1000 * e.latency))
    for name, values in figures:
        found += _percentiles(name, values(ours), values(theirs), ours, theirs)
    logged = {name: (x, y) for name, _, x, y, _ in logged_figures(a, b)}
    return [_as_reported(one, *logged[one.name]) if one.name in logged else one for one in found]


def _as_reported(one: Difference, a: float, b: float) -> Difference:
    """With LoadGen's own figures, which every other page shows; the interval around them is the events'."""
    if not a or not b or not one.a or not one.b:
        return one
    factor = (b / a) / (one.b / one.a)
    low, high = (1 + one.low) * factor - 1, (1 + one.high) * factor - 1
    change = b / a - 1
    beyond = bool((low > 0 or high < 0) and abs(change) > EQUAL)
    return replace(one, a=a, b=b, change=change, low=low, high=high, beyond_noise=beyond)


def _by_logs(name: str, unit: str, a: float, b: float, higher_is_better: bool) -> Difference:
    return Difference(
        name=name,
        unit=unit,
        a=a,
        b=b,
        change=b / a - 1 if a else float("nan"),
        low=math.nan,
        high=math.nan,
        beyond_noise=False,
        higher_is_better=higher_is_better,
        unknown="noise not recorded",
    )


def _rate(name: str, unit: str, ours: Events, theirs: Events, weigh: Callable[[Events], Floats]) -> Difference:
    values = [float(weigh(events).sum()) / (events.duration or 1.0) for events in (ours, theirs)]
    draws = [rate_draws(events, weigh(events), seed=seed) for seed, events in enumerate((ours, theirs))]
    a, b = values
    return _difference(name, unit, a, b, a * draws[0], b * draws[1], higher_is_better=True)


def _percentiles(name: str, a: Floats, b: Floats, ours: Events, theirs: Events) -> list[Difference]:
    drawn_a = percentile_draws(a[np.argsort(ours.issue, kind="stable")], PERCENTS, seed=0)
    drawn_b = percentile_draws(b[np.argsort(theirs.issue, kind="stable")], PERCENTS, seed=1)
    points_a, points_b = np.nanpercentile(a, PERCENTS), np.nanpercentile(b, PERCENTS)
    return [
        _difference(
            f"{name} p{percent}",
            "ms",
            float(points_a[i]),
            float(points_b[i]),
            drawn_a[:, i],
            drawn_b[:, i],
            higher_is_better=False,
        )
        for i, percent in enumerate(PERCENTS)
    ]


def _difference(
    name: str,
    unit: str,
    a: float,
    b: float,
    draws_a: npt.NDArray[Any],
    draws_b: npt.NDArray[Any],
    *,
    higher_is_better: bool,
) -> Difference:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = draws_b / draws_a - 1
    low, high = bounds(ratio)
    change = b / a - 1 if a else float("nan")
    beyond = bool((low > 0 or high < 0) and abs(change) > EQUAL)
    return Difference(
        name=name,
        unit=unit,
        a=a,
        b=b,
        change=change,
        low=low,
        high=high,
        beyond_noise=beyond,
        higher_is_better=higher_is_better,
    )


def _notes(a: RunData, b: RunData) -> list[str]:
    notes = []
    if kind(a) != kind(b):
        ours, theirs = (" ".join(filter(None, kind(run))) for run in (a, b))
        notes.append(f"A is {ours}, B is {theirs}: their figures mean different things and are not compared.")
    rates = [run.session.settings.get("server_target_qps") for run in (a, b)]
    if a.scenario in ("server", "interactive") and a.scenario == b.scenario:
        notes.append(
            "In this scenario the offered rate sets the throughput; compare the latencies"
            + (f" (target_qps {rates[0]:g} and {rates[1]:g})." if all(rates) else ".")
        )
    by_logs = a.is_foreign or b.is_foreign
    for label, run in (("A", a), ("B", b)):
        if not run.valid:
            short = run.result is not None and run.result.too_short
            notes.append(f"{label} is too short for a verdict." if short else f"{label} is not a valid run.")
        if run.is_foreign:
            notes.append(f"{label} is LoadGen's logs alone: engine, model, data set and the like are not recorded.")
        elif run.events is None and not by_logs:
            notes.append(f"{label} has no events.parquet: no figures to compare.")
    if by_logs:
        notes.append("All figures are LoadGen's own; their noise is not recorded, and needs repeats.")
        return notes
    notes.append("Intervals come from stretches within each run; what differs between whole runs needs repeats.")
    return notes
