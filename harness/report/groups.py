"""Repeats of one setting, together: what differs between whole runs shows only between whole runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.report.compare import Comparison, Difference, compare_runs, only_run, settings_of
from harness.report.load import RunData
from harness.report.noise import EQUAL, t_975

Group = Sequence[RunData]


def of_directories(directories: Sequence[Path]) -> list[Comparison]:
    """Every group of runs with the same settings against that of the first run; repeats of the first alone are a
    comparison of the first with the others. Raises ``UserError`` if a directory holds no run, or several.
    """
    runs = [only_run(directory) for directory in directories]
    first, *others = by_settings(runs)
    if not others or len(runs) == 2:
        return [compare_groups([runs[0]], runs[1:])]
    return [compare_groups(first, group) for group in others]


def by_settings(runs: Sequence[RunData]) -> list[Group]:
    """The runs in groups with the same scenario, mode, settings and versions, in the order of their first."""
    groups: list[tuple[object, list[RunData]]] = []
    for run in runs:
        key = (run.scenario, run.mode, {name: str(value) for name, value in settings_of(run).items()})
        found = next((group for known, group in groups if known == key), None)
        if found is None:
            groups.append((key, [run]))
        else:
            found.append(run)
    return [group for _, group in groups]


def compare_groups(ours: Group, theirs: Group) -> Comparison:
    """As :func:`harness.report.compare.compare_runs`, of groups.

    A figure is the geometric mean of its runs'. Where a group has repeats the interval is theirs (Welch's, of the
    logarithms; a group of one is taken to scatter as the other does), else that of the stretches within the two runs.
    """
    first = compare_runs(ours[0], theirs[0])
    if len(ours) + len(theirs) < 3:
        return first
    a = [compare_runs(run, theirs[0]).figures for run in ours]
    b = [compare_runs(ours[0], run).figures for run in theirs]
    figures = [
        _of_repeats(one, [x.a for x in _named(a, one.name)], [x.b for x in _named(b, one.name)])
        for one in first.figures
    ]
    note = f"A is {len(ours)} run(s) of one setting, B {len(theirs)}: intervals are from their repeats."
    rest = [text for text in first.notes if "needs repeats" not in text]
    return replace(first, a_runs=list(ours), b_runs=list(theirs), figures=figures, notes=[*rest, note])


def _named(of_runs: Sequence[Sequence[Difference]], name: str) -> list[Difference]:
    """One figure of each run; nothing if some run lacks it."""
    found = [one for figures in of_runs for one in figures if one.name == name]
    return found if len(found) == len(of_runs) else []


def _of_repeats(one: Difference, ours: list[float], theirs: list[float]) -> Difference:
    a, b = (np.log([value for value in values if value > 0]) for values in (ours, theirs))
    if not len(a) or not len(b) or len(a) + len(b) < 3:
        return one
    change = float(b.mean() - a.mean())
    half = _half(a, b)
    low, high = math.expm1(change - half), math.expm1(change + half)
    beyond = bool((low > 0 or high < 0) and abs(math.expm1(change)) > EQUAL)
    return replace(
        one,
        a=float(np.exp(a.mean())),
        b=float(np.exp(b.mean())),
        change=math.expm1(change),
        low=low,
        high=high,
        beyond_noise=beyond,
    )


def _half(a: np.ndarray, b: np.ndarray) -> float:
    """Half of the 95 % interval of the difference of two means."""
    known = [float(values.var(ddof=1)) / len(values) if len(values) > 1 else None for values in (a, b)]
    if None not in known:
        va, vb = known[0] or 0.0, known[1] or 0.0
        if va + vb == 0:
            return 0.0
        freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
        return t_975(max(int(freedom + 0.1), 1)) * math.sqrt(va + vb)
    many = a if len(a) > 1 else b
    variance = float(many.var(ddof=1))
    return t_975(len(many) - 1) * math.sqrt(variance * (1 / len(a) + 1 / len(b)))
