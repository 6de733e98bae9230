"""Across scenarios and systems: every result is a run of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import combinations
from pathlib import Path

from harness.config import Mode, Scenario
from harness.loadgen.log import DetailLog
from harness.loadgen.rules import Weight
from harness.loadgen.rules.sources import RULES
from harness.submission.check.base import Checks, Problem
from harness.submission.check.tree import ScenarioDirectory, System, Tree, scenarios

consistency_checks: Checks[Tree] = Checks()
LONG, LENGTHS_DIFFER = timedelta(days=365), 0.05
Span = tuple[Path, datetime, datetime]


@consistency_checks.rule("consistency.own-run", source=f"{RULES}, LoadGen Operation: a run for each result")
def every_log_is_its_own(tree: Tree) -> Iterator[Problem]:
    seen: dict[str, Path] = {}
    for scenario in scenarios(tree):
        inferred = is_inferred(scenario)
        # TEST06's outputs may be the same: one seed draws the samples of Server and Interactive, and decoding is greedy
        for path in (scenario.performance_path, scenario.accuracy_path, scenario.test06_log_path):
            if inferred or not path.is_file() or not path.stat().st_size:
                continue
            division = scenario.submitter.division  # open and closed may share a run
            digest = division + hashlib.sha256(path.read_bytes()).hexdigest()
            if digest in seen and seen[digest] != path:
                yield path, f"is the same file as {seen[digest].relative_to(tree.root)}: each result needs its own run"
            seen.setdefault(digest, path)


def is_inferred(scenario: ScenarioDirectory) -> bool:
    """An edge system's Offline may be a copy of its SingleStream run."""
    return scenario.scenario is Scenario.OFFLINE and (scenario.performance.text("effective_scenario") == "SingleStream")


@consistency_checks.rule(
    "consistency.turns", source=f"{RULES}, LoadGen Operation: runs of one system", weight=Weight.EXPLAIN
)
def runs_took_turns(tree: Tree) -> Iterator[Problem]:
    """By LoadGen's own times, in UTC: a system measures one thing at a time, within weeks. Several machines of one kind
    may share the work, but then somebody should say so.
    """
    for system in (system for submitter in tree.submitters for system in submitter.systems):
        spans = sorted(_spans(system), key=lambda span: span[1])
        for (one, begin, end), (other, began, ended) in combinations(spans, 2):
            if begin < ended and began < end:
                yield other, f"ran at the same time as {one.relative_to(tree.root)} ({began:%Y-%m-%d %H:%M:%S})"
        if spans and spans[-1][1] - spans[0][1] > LONG:
            days = (spans[-1][1] - spans[0][1]).days
            yield spans[-1][0], f"ran {days} days after {spans[0][0].relative_to(tree.root)}: was it the same system?"


def _spans(system: System) -> Iterator[Span]:
    for scenario in (s for benchmark in system.benchmarks if benchmark.rules for s in benchmark.scenarios):
        if not is_inferred(scenario):
            for path, log in _logs(scenario):
                if (window := log.window) is not None and window[0] <= window[1]:
                    yield path, *window


def _logs(scenario: ScenarioDirectory) -> Iterator[tuple[Path, DetailLog]]:
    paths = (scenario.performance_path, scenario.accuracy_path, scenario.test06_log_path)
    for path, mode in zip(paths, (Mode.PERFORMANCE, Mode.ACCURACY, Mode.COMPLIANCE), strict=True):
        yield path, scenario.log(mode)[0]


@consistency_checks.rule(
    "consistency.lengths", source=f"{RULES}, LoadGen Operation: same code in both modes", weight=Weight.EXPLAIN
)
def outputs_are_as_long_in_every_scenario(tree: Tree) -> Iterator[Problem]:
    """Decoding is greedy: one model gives the same answers, however they are asked for."""
    for benchmark in (b for submitter in tree.submitters for system in submitter.systems for b in system.benchmarks):
        found: list[tuple[ScenarioDirectory, float]] = []
        for scenario in benchmark.scenarios if benchmark.rules else ():
            count, tokens = scenario.performance.sample_count, scenario.performance.token_count
            if count and tokens and not is_inferred(scenario):
                found.append((scenario, tokens / count))
        for scenario, mean in found[1:]:
            if abs(mean / found[0][1] - 1) > LENGTHS_DIFFER:
                told = f"{mean:.1f} tokens a sample, {found[0][1]:.1f} in {found[0][0].name}"
                yield scenario.performance_path, f"has outputs of {told}"
