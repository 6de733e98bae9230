"""A submission tree as objects: submitter, system, benchmark, scenario. Files are read when first asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.config import Mode, Scenario
from harness.loadgen.log import ACCURACY, DETAIL, SUMMARY, DetailLog, parse_detail
from harness.loadgen.summary import SummaryLog, parse_summary
from harness.submission.again import Scorer
from harness.submission.identities import local_identity
from harness.submission.rules import BENCHMARKS, DIVISIONS, Rules
from harness.submission.scrub import Find, Scrubber, text_of_file

NOT_JSON = "is not JSON"
MAX_SEARCHED_BYTES = 4 * 1024 * 1024


def directories(path: Path) -> list[Path]:
    """The directories in ``path``, sorted; none if it is no directory."""
    return sorted(p for p in path.iterdir() if p.is_dir()) if path.is_dir() else []


def read_mapping(path: Path) -> dict[str, Any] | str | None:
    """Read a JSON object. None: no such file. A string: why it could not be read."""
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair can be escaped, but never written
    except (ValueError, OSError) as error:
        return f"{NOT_JSON}: {error}"
    return value if isinstance(value, dict) else "must be a JSON object"


def not_utf8(path: Path) -> str | None:
    """What to say of a text on which the official checker stops; None if it is UTF-8."""
    try:
        path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        return f"is not UTF-8 (byte {error.start}): the official checker stops there"
    return None


def says_nothing(path: Path) -> bool:
    """Whether a text holds nothing but white space, or the zeros of a file that was never written."""
    return not path.read_bytes().strip(b" \t\r\n\0")


@dataclass(frozen=True)
class Tree:
    """The root that holds ``closed``, ``open`` and ``network``. ``backup``: the full accuracy logs, if at hand;
    ``scorer``: what scores them again, if wanted.
    """

    root: Path
    backup: Path | None = None
    scorer: Scorer | None = None

    @cached_property
    def submitters(self) -> list[Submitter]:
        divisions = [d for d in directories(self.root) if d.name in DIVISIONS]
        return [Submitter(self, division.name, path) for division in divisions for path in directories(division)]

    @cached_property
    def private(self) -> list[tuple[Path, Find]]:
        """Everything private in the texts of the tree; lists of token ids are not searched."""
        scrubber = Scrubber(local_identity())
        finds = []
        for submitter in self.submitters:
            for path in sorted(submitter.path.rglob("*")):
                if path.name != ACCURACY and path.is_file() and path.stat().st_size <= MAX_SEARCHED_BYTES:
                    finds += [(path, find) for find in scrubber.finds(text_of_file(path) or "")]
        return finds


@dataclass(frozen=True)
class Submitter:
    """``<division>/<submitter>``."""

    tree: Tree
    division: str
    path: Path

    @property
    def closed(self) -> bool:
        """Whether the rules of the closed division hold (the network division inherits them)."""
        return self.division != "open"

    @cached_property
    def systems(self) -> list[System]:
        return [System(self, path) for path in directories(self.path / "results")]

    @cached_property
    def model_mapping(self) -> dict[str, Any]:
        """The open division's own names for benchmarks."""
        mapping = read_mapping(self.path / "model_mapping.json") if self.division == "open" else None
        return mapping if isinstance(mapping, dict) else {}


@dataclass(frozen=True)
class System:
    """``<submitter>/results/<system>`` with its description ``<submitter>/systems/<system>.json``."""

    submitter: Submitter
    path: Path

    @property
    def description_path(self) -> Path:
        return self.submitter.path / "systems" / f"{self.path.name}.json"

    @cached_property
    def description(self) -> dict[str, Any] | str | None:
        return read_mapping(self.description_path)

    @property
    def fields(self) -> dict[str, Any]:
        """The description, or an empty mapping where it cannot be read."""
        return self.description if isinstance(self.description, dict) else {}

    @property
    def is_network(self) -> bool:
        return str(self.fields.get("is_network", "")).lower() == "true"

    @cached_property
    def benchmarks(self) -> list[BenchmarkDirectory]:
        return [BenchmarkDirectory(self, path) for path in directories(self.path)]


@dataclass(frozen=True)
class BenchmarkDirectory:
    """``<system>/<benchmark>``; ``rules`` is None for a benchmark of another model."""

    system: System
    path: Path

    @property
    def rules(self) -> Rules | None:
        mapping = self.system.submitter.model_mapping
        return BENCHMARKS.get(self.path.name) or BENCHMARKS.get(str(mapping.get(self.path.name, "")))

    @cached_property
    def scenarios(self) -> list[ScenarioDirectory]:
        return [ScenarioDirectory(self, path) for path in directories(self.path)]


@dataclass(frozen=True)
class ScenarioDirectory:
    """``<benchmark>/<scenario>``: one result."""

    benchmark: BenchmarkDirectory
    path: Path

    @property
    def scenario(self) -> Scenario | None:
        """The scenario that the directory stands for, whatever its case; None if it is none of this benchmark
        family's.
        """
        return {s.directory.lower(): s for s in Scenario}.get(self.path.name.lower())

    @property
    def name(self) -> str:
        """The scenario by its official name, or the directory's."""
        return self.scenario.directory if self.scenario else self.path.name

    @property
    def submitter(self) -> Submitter:
        return self.benchmark.system.submitter

    @property
    def closed(self) -> bool:
        return self.submitter.closed

    @property
    def rules(self) -> Rules:
        """The benchmark's rules. Raises ``ValueError`` for another model's benchmark."""
        rules = self.benchmark.rules
        if rules is None:
            raise ValueError(f"{self.benchmark.path.name} is not a Llama 3.1 8B benchmark")
        return rules

    @property
    def performance_path(self) -> Path:
        return self.path / "performance" / "run_1" / DETAIL

    @property
    def accuracy_path(self) -> Path:
        return self.path / "accuracy" / DETAIL

    @property
    def test06_path(self) -> Path:
        return self.path / "TEST06"

    @property
    def test06_log_path(self) -> Path:
        return self.test06_path / "performance" / "run_1" / DETAIL

    @cached_property
    def test06(self) -> DetailLog:
        return parse_detail(self.test06_log_path)

    def log(self, mode: Mode) -> tuple[DetailLog, SummaryLog]:
        """The detail log and the summary of one of the three tests."""
        path, detail = {
            Mode.PERFORMANCE: (self.performance_path, self.performance),
            Mode.ACCURACY: (self.accuracy_path, self.accuracy),
            Mode.COMPLIANCE: (self.test06_log_path, self.test06),
        }[mode]
        return detail, parse_summary(path.with_name(SUMMARY))

    @cached_property
    def performance(self) -> DetailLog:
        return parse_detail(self.performance_path)

    @cached_property
    def accuracy(self) -> DetailLog:
        return parse_detail(self.accuracy_path)

    @property
    def measurements_path(self) -> Path:
        return self.path / "measurements.json"

    @cached_property
    def measurements(self) -> dict[str, Any] | str | None:
        return read_mapping(self.measurements_path)

    @property
    def is_endpoints(self) -> bool:
        """Whether this is the other kind of submission, made without LoadGen (submission_structure.md)."""
        return not (self.performance_path.is_file() or self.accuracy_path.is_file()) and any(
            (self.path / name).is_file() for name in ("config.yaml", "config.yml")
        )


def scenarios(tree: Tree) -> Iterator[ScenarioDirectory]:
    """Every scenario of a Llama 3.1 8B benchmark in the tree."""
    for submitter in tree.submitters:
        for system in submitter.systems:
            for benchmark in system.benchmarks:
                if benchmark.rules:
                    yield from benchmark.scenarios
