"""mlperf_log_summary.txt: whole, and of the same run as the detail log. The official checker does not read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from harness.loadgen.log import SUMMARY, DetailLog, disagreements, parse_summary
from harness.submission.check.accuracy import accuracy_checks
from harness.submission.check.base import Problem
from harness.submission.check.performance import performance_checks
from harness.submission.check.test06 import test06_checks
from harness.submission.check.tree import ScenarioDirectory
from harness.submission.rules import LOADGEN

SOURCE = f"{LOADGEN}/results.cc (LogSummary); {LOADGEN}/logging.cc (the last lines)"
LAST_LINE = re.compile(r"^(No errors|(\d+) ERRORS?) encountered", re.MULTILINE)


def problems(path: Path, log: DetailLog) -> Iterator[Problem]:
    """What is wrong with a summary, given the detail log beside it. A missing file is another rule's."""
    if not path.is_file() or not path.stat().st_size or not log.exists:
        return
    ending = LAST_LINE.search(path.read_text(encoding="utf-8", errors="replace"))
    if ending is None:
        yield path, "lacks LoadGen's last line (how many errors were encountered): it was cut off, or is no summary"
    elif int(ending[2] or 0) != log.error_count:
        yield path, f"says {ending[0]!r}, the detail log has {log.error_count} errors"
    summary = parse_summary(path)
    if log.text("effective_test_mode") == "PerformanceOnly" and summary.validity is None:
        yield path, "holds no verdict: it is no performance run's"
    for text in disagreements(log, summary)[:3]:
        yield path, text


@performance_checks.rule("performance.summary", source=SOURCE)
def of_the_performance_run(scenario: ScenarioDirectory) -> Iterator[Problem]:
    yield from problems(scenario.performance_path.with_name(SUMMARY), scenario.performance)


@accuracy_checks.rule("accuracy.summary", source=SOURCE)
def of_the_accuracy_run(scenario: ScenarioDirectory) -> Iterator[Problem]:
    yield from problems(scenario.accuracy_path.with_name(SUMMARY), scenario.accuracy)


@test06_checks.rule("test06.summary", source=SOURCE)
def of_test06(scenario: ScenarioDirectory) -> Iterator[Problem]:
    if scenario.closed:
        yield from problems(scenario.test06_log_path.with_name(SUMMARY), scenario.test06)
