"""A checker for submission trees of llama3.1-8b: all that the official one checks for it, and the rules that it misses.

Works on any tree, not only on one built here. The official checker stays the authority; this one knows more of one
benchmark.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.loadgen.rules import BOOK, Rule
from harness.submission.again import Scorer
from harness.submission.check.accuracy import accuracy_checks
from harness.submission.check.again import again_checks
from harness.submission.check.base import Checks, Severity, TreeFinding
from harness.submission.check.consistency import consistency_checks
from harness.submission.check.endpoints import EndpointsRun, endpoints_checks
from harness.submission.check.logs import log_findings
from harness.submission.check.measurements import document_checks, measurement_checks
from harness.submission.check.power import power_checks
from harness.submission.check.privacy import privacy_checks
from harness.submission.check.structure import (
    benchmark_checks,
    scenario_layout,
    submitter_checks,
    system_layout,
    tree_checks,
)
from harness.submission.check.system import system_checks
from harness.submission.check.test06 import test06_checks
from harness.submission.check.tree import BenchmarkDirectory, ScenarioDirectory, System, Tree
from harness.submission.check.user_conf import user_conf_checks
from mlperf_llama_base.errors import UserError

TREE = (tree_checks, consistency_checks, privacy_checks)
SUBMITTER = (submitter_checks, document_checks)
SYSTEM = (system_layout, system_checks)
BENCHMARK = (benchmark_checks,)
SCENARIO = (
    scenario_layout,
    measurement_checks,
    user_conf_checks,
    accuracy_checks,
    again_checks,
    test06_checks,
    power_checks,
)

GROUPS: tuple[Checks[Any], ...] = (*TREE, *SUBMITTER, *SYSTEM, *BENCHMARK, *SCENARIO, endpoints_checks)

__all__ = ["Severity", "TreeFinding", "check_submission", "rules"]


def check_submission(root: Path, *, backup: Path | None = None, scorer: Scorer | None = None) -> list[TreeFinding]:
    """Check the tree at ``root`` (it holds ``closed``, ``open`` or ``network``), worst findings first.

    ``backup``: the directory of the complete accuracy logs, to compare their hashes; ``scorer``: scores them again.
    Raises ``UserError`` if ``root`` is no directory, or the scorer's files cannot be read.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a directory: give the root that holds closed/ or open/")
    if scorer is not None:
        _ = scorer.loaded  # a mistake of the command, not of a scenario
    tree = Tree(root.resolve(), backup.resolve() if backup else None, scorer)
    findings = list(_of_tree(tree))
    order = list(Severity)
    return sorted(dict.fromkeys(findings), key=lambda f: (order.index(f.severity), f.path, f.rule))


def _of_tree(tree: Tree) -> Iterator[TreeFinding]:
    for group in TREE:
        yield from group.run(tree, root=tree.root, fallback=tree.root)
    for submitter in tree.submitters:
        for checks in SUBMITTER:
            yield from checks.run(submitter, root=tree.root, fallback=submitter.path)
        for system in submitter.systems:
            yield from _of_system(system, tree.root)


def _of_system(system: System, root: Path) -> Iterator[TreeFinding]:
    for checks in SYSTEM:
        yield from checks.run(system, root=root, fallback=system.description_path)
    for directory in system.benchmarks:
        yield from _of_benchmark(directory, root)


def _of_benchmark(directory: BenchmarkDirectory, root: Path) -> Iterator[TreeFinding]:
    for checks in BENCHMARK:
        yield from checks.run(directory, root=root, fallback=directory.path)
    if directory.rules is None:
        return
    for scenario in directory.scenarios:
        if scenario.is_endpoints and scenario.scenario is not None:
            yield from measurement_checks.run(scenario, root=root, fallback=scenario.path)
            yield from endpoints_checks.run(EndpointsRun(scenario), root=root, fallback=scenario.path)
        elif scenario.scenario is not None:
            yield from _of_scenario(scenario, root)


def _of_scenario(scenario: ScenarioDirectory, root: Path) -> Iterator[TreeFinding]:
    for checks in SCENARIO:
        yield from checks.run(scenario, root=root, fallback=scenario.path)
    yield from log_findings(scenario)


def rules() -> list[Rule[Any, Any]]:
    """Every rule that is checked: the tree's own, and the rule book's."""
    return [rule for group in GROUPS for rule in group.rules] + list(BOOK)
