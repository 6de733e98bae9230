"""A submission tree of MLPerf Endpoints as objects: tree, curve, point. Files are read when first asked for.

A point is a directory of the tree (all files in one folder) or a run of the client's (``performance/``, ``accuracy/``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness.endpoints.point_yaml import PointConfig
from harness.endpoints.power import SystemPower
from harness.endpoints.regions import Regions, regions
from harness.endpoints.system_desc import SystemDescription
from harness.rundir.endpoints import AccuracyResults, ResultSummary
from harness.rundir.files import read_mapping, read_record
from mlperf_llama_base.errors import UserError

T = TypeVar("T", bound=msgspec.Struct)
POINT, DESCRIPTION, SUMMARY, CONFIG, ACCURACY, POWER = (
    "point.yaml",
    "system_desc.json",
    "result_summary.json",
    "config.yaml",
    "accuracy_results.json",
    "system_power.json",
)


def readable(path: Path, kind: type[T]) -> T | None:
    """The record, None where the file is missing or damaged: ``layout.files`` reports that."""
    try:
        return read_record(path, kind)
    except UserError:
        return None


@dataclass(frozen=True)
class Expected:
    """What a run of ours was meant to be: where it is known, nothing may be missing from the client's files."""

    samples: int
    concurrency: int
    accuracy: bool
    dedicated: bool
    min_duration_ms: int
    data_set: int
    """Rows; fewer than the benchmark's in a rehearsal."""
    rehearsal: bool = False


@dataclass(frozen=True)
class Point:
    """One measurement. ``expected``: of a run that was planned here; None in a tree from anywhere."""

    path: Path
    expected: Expected | None = field(default=None, compare=False)

    def file(self, name: str, below: str) -> Path:
        nested = self.path / below / name
        return nested if nested.is_file() else self.path / name

    @property
    def point_path(self) -> Path:
        return self.path / POINT

    @property
    def description_path(self) -> Path:
        return self.path / DESCRIPTION

    @property
    def config_path(self) -> Path:
        return self.path / CONFIG

    @property
    def summary_path(self) -> Path:
        return self.file(SUMMARY, "performance")

    @property
    def accuracy_path(self) -> Path:
        return self.file(ACCURACY, "accuracy")

    @cached_property
    def config(self) -> PointConfig | None:
        return readable(self.point_path, PointConfig)

    @cached_property
    def description(self) -> SystemDescription | None:
        return readable(self.description_path, SystemDescription)

    @cached_property
    def summary(self) -> ResultSummary | None:
        return readable(self.summary_path, ResultSummary)

    @cached_property
    def accuracy(self) -> AccuracyResults | None:
        return readable(self.accuracy_path, AccuracyResults)

    @cached_property
    def client(self) -> dict[str, Any]:
        """The client's own configuration as it wrote it; its keys change between versions."""
        try:
            return read_mapping(self.config_path) or {}
        except UserError:
            return {}

    def asked(self, *path: str) -> Any:
        """A value of the client's configuration."""
        value: Any = self.client
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    @property
    def scored(self) -> bool:
        """An accuracy run belongs to it."""
        return self.accuracy is not None and bool(self.accuracy.accuracy())

    @property
    def concurrency(self) -> int | None:
        if self.expected:
            return self.expected.concurrency
        return self.config.concurrency if self.config else None

    @property
    def dedicated(self) -> bool:
        """An Offline run of its own."""
        return self.expected.dedicated if self.expected else bool(self.config and self.config.dedicated)


@dataclass(frozen=True)
class Curve:
    """``results/<system>/<model>``."""

    path: Path

    @cached_property
    def points(self) -> list[Point]:
        found = [p for p in sorted(self.path.iterdir()) if p.is_dir() and re.fullmatch(r"r\d+", p.name)]
        return [Point(p) for p in sorted(found, key=lambda p: int(p.name[1:]))]

    @cached_property
    def configured(self) -> list[tuple[Point, PointConfig]]:
        """Those whose point.yaml can be read."""
        return [(point, point.config) for point in self.points if point.config]

    @cached_property
    def measured(self) -> list[tuple[Point, PointConfig]]:
        """Without a dedicated Offline run: the points that lie in regions."""
        return [(point, config) for point, config in self.configured if not config.dedicated]

    @cached_property
    def c_max(self) -> int | None:
        return next((p.description.max_supported_concurrency for p in self.points if p.description), None)

    @cached_property
    def regions(self) -> Regions | None:
        """None where the concurrencies make no curve."""
        found = [config.concurrency for _, config in self.measured]
        if not found or self.c_max is None:
            return None
        override = next((p.description.c_min_override for p in self.points if p.description), None)
        try:
            return regions(self.c_max, override if override is not None else min(found))
        except (UserError, ValueError):
            return None

    @property
    def power_path(self) -> Path:
        return self.path.parent / POWER

    @cached_property
    def power(self) -> SystemPower | None:
        return readable(self.power_path, SystemPower)


@dataclass(frozen=True)
class Tree:
    """``<organization>/<submission>``."""

    root: Path

    @property
    def path(self) -> Path:
        return self.root

    @cached_property
    def systems(self) -> list[Path]:
        folder = self.root / "results"
        return sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []

    @cached_property
    def curves(self) -> list[Curve]:
        return [Curve(path) for system in self.systems for path in sorted(system.iterdir()) if path.is_dir()]
