"""LoadGen's logs in a tree: the rule book, applied to the three tests of a scenario."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.config import Benchmark, Mode, Scenario
from harness.loadgen.log import ACCURACY, DETAIL, SUMMARY
from harness.loadgen.rules import BOOK, Breaks, Logs
from harness.loadgen.rules.logs import SCORES
from harness.submission.check.accuracy import scored_samples, whole_scores
from harness.submission.check.base import TreeFinding, relative
from harness.submission.check.tree import ScenarioDirectory


def log_findings(scenario: ScenarioDirectory) -> Iterator[TreeFinding]:
    """What the rule book says of the performance, accuracy and TEST06 logs. Open asks for less than closed."""
    division = Breaks.CLOSED if scenario.closed else Breaks.OPEN
    root = scenario.submitter.tree.root
    for mode, paths in files_of(scenario).items():
        for rule, text in BOOK.breaches(logs_of(scenario, mode)):
            if division in rule.breaks:
                path = relative(paths[rule.about], root)
                weight = rule.weighs(division)
                yield TreeFinding(weight=weight, rule=rule.id, path=path, message=text, source=rule.source)


def files_of(scenario: ScenarioDirectory) -> dict[Mode, Mapping[str, Path]]:
    """Where the files of each test lie; TEST06 only where there is one."""
    places = {
        Mode.PERFORMANCE: (scenario.performance_path, scenario.performance_path.with_name(ACCURACY)),
        Mode.ACCURACY: (scenario.accuracy_path, scenario.accuracy_path.with_name(ACCURACY)),
    }
    if scenario.test06_path.is_dir():
        places[Mode.COMPLIANCE] = (scenario.test06_log_path, scenario.test06_path / "accuracy" / ACCURACY)
    return {
        mode: {
            DETAIL: detail,
            SUMMARY: detail.with_name(SUMMARY),
            ACCURACY: outputs,
            SCORES: detail.with_name(SCORES),
        }
        for mode, (detail, outputs) in places.items()
    }


def logs_of(scenario: ScenarioDirectory, mode: Mode) -> Logs:
    """The logs of one test, as the rule book looks at them."""
    if scenario.scenario is None:
        raise ValueError(f"{scenario.name} is no scenario")
    files = files_of(scenario)[mode]
    detail, summary = scenario.log(mode)
    return Logs(
        mode=mode,
        scenario=scenario.scenario,
        benchmark=scenario.rules.benchmark,
        detail=detail,
        summary=summary,
        outputs=files[ACCURACY],
        accepted=_accepted(scenario),
        scores=tuple(whole_scores(scenario)) if mode is Mode.ACCURACY else (),
        scored=scored_samples(scenario) if mode is Mode.ACCURACY else None,
    )


def _accepted(scenario: ScenarioDirectory) -> tuple[str, ...]:
    """LoadGen's scenarios that may stand for the directory's: an edge system's Offline may be its SingleStream run."""
    is_edge = Benchmark.EDGE.value in str(scenario.benchmark.system.fields.get("system_type"))
    return ("SingleStream",) if is_edge and scenario.scenario is Scenario.OFFLINE else ()
