"""TEST06 in the tree: the verdict that the official checker reads, and its files. The rule book judges its logs."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config import Scenario
from harness.loadgen.log import ACCURACY, DETAIL, SUMMARY
from harness.loadgen.rules import Weight
from harness.loadgen.rules.sources import CHECKER, POLICIES
from harness.submission.check.base import Checks, Problem
from harness.submission.check.tree import ScenarioDirectory, not_utf8

test06_checks: Checks[ScenarioDirectory] = Checks()
SOURCE = f"{CHECKER}/checks/compliance_check.py"
README = "mlcommons/inference compliance/TEST06/README.md"
TABLE = "mlcommons/inference compliance/README.md"


@test06_checks.rule("test06.files", source=f"{SOURCE} (dir_exists_check); {README}")
def files_are_there(scenario: ScenarioDirectory) -> Iterator[Problem]:
    if not scenario.closed or not (scenario.rules.test06 or scenario.test06_path.is_dir()):
        return
    if not scenario.test06_path.is_dir():
        yield scenario.test06_path, "is missing: the closed division needs this compliance test"
        return
    for path in (scenario.test06_path / "verify_accuracy.txt", scenario.test06_path / "accuracy" / ACCURACY):
        if not path.is_file():
            yield path, "is missing"


@test06_checks.rule("test06.edge", source=f"{TABLE} (Llama3.1-8b)", weight=Weight.EXPLAIN)
def edge_has_it_too(scenario: ScenarioDirectory) -> Iterator[Problem]:
    if scenario.closed and not scenario.rules.test06 and not scenario.test06_path.is_dir():
        yield scenario.test06_path, "is missing: the official checker does not ask for it here, the table of tests does"


@test06_checks.rule("test06.verdict", source=f"{SOURCE} (accuracy_check)")
def verdict_is_pass(scenario: ScenarioDirectory) -> Iterator[Problem]:
    path = scenario.test06_path / "verify_accuracy.txt"
    if not scenario.closed or not path.is_file():
        return
    if wrong := not_utf8(path):
        yield path, wrong
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
    first = ["True", "Skipped"] if scenario.scenario is Scenario.OFFLINE else ["True"]
    for what, accepted in (("First token", first), ("EOS", ["True"]), ("Sample length", ["True"])):
        said = {line.partition("pass: ")[2] for line in lines if line.startswith(f"{what} check pass: ")}
        if not said & set(accepted):
            yield path, f"has no line '{what} check pass: {' or '.join(accepted)}'"
        elif said - set(accepted):
            yield path, f"says '{what} check pass: {min(said - set(accepted))}' as well"


@test06_checks.rule("test06.same-code", source=f"{README}: run on the system of the performance run")
def is_the_same_system(scenario: ScenarioDirectory) -> Iterator[Problem]:
    if not (scenario.closed and scenario.test06.exists and scenario.performance.exists):
        return
    for key in ("effective_scenario", "sut_name", "loadgen_version"):
        ran, measured = scenario.test06.values.get(key), scenario.performance.values.get(key)
        if ran != measured:
            yield scenario.test06_log_path, f"{key} is {ran!r}, {measured!r} in the performance run"


@test06_checks.rule("test06.logs", source=f"{POLICIES}, directory structure (Inference)", weight=Weight.NOTE)
def logs_are_there(scenario: ScenarioDirectory) -> Iterator[Problem]:
    """Only they show that LoadGen read audit.config; the official checker does not ask for them."""
    paths = [scenario.test06_log_path.with_name(name) for name in (DETAIL, SUMMARY)]
    missing = [path.name for path in paths if not (path.is_file() and path.stat().st_size)]
    if scenario.closed and scenario.test06_path.is_dir() and missing:
        yield scenario.test06_log_path.parent, f"lacks {' and '.join(missing)}: that audit.config was read is not shown"
