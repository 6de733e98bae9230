"""Power results: which files must be there. What is in them, MLCommons' power checker judges."""

from __future__ import annotations

from collections.abc import Iterator

from harness.loadgen.log import DETAIL, SUMMARY
from harness.loadgen.rules import Weight
from harness.loadgen.rules.sources import CHECKER
from harness.submission.check.base import Checks, Problem
from harness.submission.check.tree import ScenarioDirectory

power_checks: Checks[ScenarioDirectory] = Checks()
SOURCE = f"{CHECKER}/checks/power_check.py (required_files_check)"
RUN_FILES = {SUMMARY, DETAIL, "spl.txt"}
POWER_FILES = {"client.json", "client.log", "ptd_logs.txt", "server.json", "server.log"}
OPTIONAL = {"mlperf_log_accuracy.json", "mlperf_log_trace.json", "results.json"}


@power_checks.rule("power.files", source=SOURCE)
def files_are_there(scenario: ScenarioDirectory) -> Iterator[Problem]:
    performance = scenario.path / "performance"
    if not (performance / "power").is_dir():
        return
    for name, wanted in (("run_1", RUN_FILES), ("ranging", RUN_FILES), ("power", POWER_FILES)):
        directory = performance / name
        found = {p.name for p in directory.iterdir() if p.is_file()} if directory.is_dir() else set()
        for missing in sorted(wanted - found):
            yield directory / missing, "is missing: power was measured"
        for extra in sorted(found - wanted - OPTIONAL):
            yield directory / extra, "does not belong in a power result"


@power_checks.rule("power.contents", source=f"{CHECKER}/checks/power/power_checker.py", weight=Weight.NOTE)
def contents_are_not_checked(scenario: ScenarioDirectory) -> Iterator[Problem]:
    if (scenario.path / "performance" / "power").is_dir():
        yield scenario.path / "performance" / "power", "is not checked here: run MLCommons' power_checker.py on it"
