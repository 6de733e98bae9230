"""Across scenarios and systems: every result is a run of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from harness.config import Scenario
from harness.loadgen.rules.sources import RULES
from harness.submission.check.base import Checks, Problem
from harness.submission.check.tree import Tree, scenarios

consistency_checks: Checks[Tree] = Checks()


@consistency_checks.rule("consistency.own-run", source=f"{RULES}, LoadGen Operation: a run for each result")
def every_log_is_its_own(tree: Tree) -> Iterator[Problem]:
    seen: dict[str, Path] = {}
    for scenario in scenarios(tree):
        inferred = scenario.scenario is Scenario.OFFLINE and (
            scenario.performance.text("effective_scenario") == "SingleStream"  # edge: the rules allow the copy
        )
        # TEST06's outputs may be the same: one seed draws the samples of Server and Interactive, and decoding is greedy
        for path in (scenario.performance_path, scenario.accuracy_path, scenario.test06_log_path):
            if inferred or not path.is_file() or not path.stat().st_size:
                continue
            division = scenario.submitter.division  # open and closed may share a run
            digest = division + hashlib.sha256(path.read_bytes()).hexdigest()
            if digest in seen and seen[digest] != path:
                yield path, f"is the same file as {seen[digest].relative_to(tree.root)}: each result needs its own run"
            seen.setdefault(digest, path)
