"""Where everything must lie, and that it can be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from harness.endpoints.check.files import ACCURACY, POINT, POWER, Tree
from harness.endpoints.check.sources import RULES
from harness.endpoints.point_yaml import PointConfig
from harness.endpoints.power import SystemPower
from harness.endpoints.system_desc import SystemDescription
from harness.rundir.endpoints import AccuracyResults, ResultSummary
from harness.rundir.files import read_mapping, read_record
from harness.submission.check.base import Checks, Problem
from mlperf_llama_base.errors import UserError

layout_rules: Checks[Tree] = Checks()


@layout_rules.rule("curve.layout", source=f"{RULES}, 8.1")
def directories_are_there(tree: Tree) -> Iterator[Problem]:
    if not tree.curves:
        yield tree.root / "results", "holds no system with a model"
    if not (tree.root / "docs").is_dir():
        yield tree.root / "docs", "is missing"
    source = tree.root / "src"
    implementations = sorted(p for p in source.iterdir() if p.is_dir()) if source.is_dir() else []
    if not implementations:
        yield source, "holds no implementation"
    for path in implementations:
        if not any(p.name.lower() == "readme.md" for p in path.iterdir()):
            yield path, "has no README.md: how to build it and to repeat a point"
    for curve in tree.curves:
        if not curve.points:
            yield curve.path, "holds no point (r32, r128, ...)"


@layout_rules.rule("curve.files-read", source=f"{RULES}, 8.1")
def files_are_there(tree: Tree) -> Iterator[Problem]:
    for curve in tree.curves:
        for point in curve.points:
            yield from _read(point.point_path, PointConfig)
            yield from _read(point.description_path, SystemDescription)
            yield from _read(point.summary_path, ResultSummary)
            yield from _read(point.accuracy_path, AccuracyResults, optional=ACCURACY)
            yield from _read(point.config_path, None)
        yield from _read(curve.power_path, SystemPower, optional=POWER)


def _read(path: Path, kind: type[msgspec.Struct] | None, *, optional: str = "") -> Iterator[Problem]:
    try:
        found = read_mapping(path) if kind is None else read_record(path, kind)
    except UserError as error:
        yield path, str(error).removeprefix(f"{path} ")
        return
    if found is None and (path.exists() or path.name != optional):
        yield path, "is missing or empty"


@layout_rules.rule("curve.strangers", source=f"{RULES}, 8.1")
def nothing_else_lies_there(tree: Tree) -> Iterator[Problem]:
    """A run's own logs are not published, and every directory below a model is taken for a point."""
    for curve in tree.curves:
        known = {point.path for point in curve.points}
        for path in sorted(curve.path.iterdir()):
            if path not in known:
                yield path, f"is no point's directory (r<concurrency> with a {POINT})"
