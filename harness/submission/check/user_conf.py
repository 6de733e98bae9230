"""The user.conf in the tree: LoadGen can read it, and it is the one that the runs used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from harness.config import Scenario
from harness.loadgen.conf_keys import MODELS, in_effect
from harness.loadgen.conf_parser import Assignment, Conf, parse
from harness.loadgen.rules import Weight
from harness.loadgen.rules.sources import CHECKER, LOADGEN, POLICIES
from harness.preflight.base import Finding, Status
from harness.preflight.loadgen_conf import ignored, inspect, overshadowed, submittable, unread
from harness.submission.check.base import Checks, Problem
from harness.submission.check.tree import ScenarioDirectory

user_conf_checks: Checks[ScenarioDirectory] = Checks()
PARSER = f"{LOADGEN}/test_settings_internal.cc (FromConfig)"
RATES = {
    Scenario.OFFLINE: ("target_qps", "requested_offline_expected_qps", 1.0),
    Scenario.SERVER: ("target_qps", "requested_server_target_qps", 1.0),
    Scenario.INTERACTIVE: ("target_qps", "requested_server_target_qps", 1.0),
    Scenario.SINGLESTREAM: ("target_latency", "requested_single_stream_expected_latency_ns", 1e7),
}

LOGGED = {  # key in user.conf -> key in the detail log
    "min_duration": "requested_min_duration_ms",
    "max_duration": "requested_max_duration_ms",
    "min_query_count": "requested_min_query_count",
    "max_query_count": "requested_max_query_count",
    "performance_sample_count_override": "requested_performance_sample_count_override",
    "max_async_queries": "requested_server_max_async_queries",
    "coalesce_queries": "requested_server_coalesce_queries",
}


def conf_path(scenario: ScenarioDirectory) -> Path:
    return scenario.path / "user.conf"


def read(scenario: ScenarioDirectory) -> Conf | None:
    path = conf_path(scenario)
    return parse(path.read_bytes()) if path.is_file() else None


def model_name(scenario: ScenarioDirectory) -> str:
    """LoadGen's model name of the run: the scenario's own (loadgen/mlperf.conf), or another one with which user.conf
    gives what the log says was in effect. LoadGen takes any name, and the log does not tell it.
    """
    own = scenario.rules.benchmark.model_name(scenario.scenario or Scenario.OFFLINE)
    conf, ran = read(scenario), ran_as(scenario)
    if conf is None or ran is None or not any(differences(conf, scenario, ran, model=own)):
        return own
    for other in dict.fromkeys(a.key.rsplit(".", 2)[0] for a in conf.assignments if a.key.count(".") >= 2):
        sets = any(in_effect(conf, model=other, scenario=ran.loadgen_name))
        if sets and not any(differences(conf, scenario, ran, model=other)):
            return other
    return own


def ran_as(scenario: ScenarioDirectory) -> Scenario | None:
    """The scenario whose settings count: an inferred Offline was a SingleStream run."""
    inferred = scenario.performance.text("effective_scenario") == "SingleStream"
    return Scenario.SINGLESTREAM if inferred else scenario.scenario


@user_conf_checks.rule("user-conf.file", source=f"{CHECKER}/checks/measurements_checks.py (required_files_check)")
def is_there(scenario: ScenarioDirectory) -> Iterator[Problem]:
    path = conf_path(scenario)
    if not path.is_file():
        yield path, "is missing"
    elif not path.stat().st_size:
        yield path, "is empty"


def read_lines(conf: Conf, scenario: ScenarioDirectory) -> Iterator[Finding]:
    """What is wrong with the lines that LoadGen reads."""
    model, ran = model_name(scenario), ran_as(scenario) or Scenario.OFFLINE
    for assignment in conf.assignments:
        if assignment.values > 1 or not (unread(assignment) or is_for(assignment, model)):
            yield from inspect(conf, assignment, model=model, scenario=ran.loadgen_name)


def is_for(assignment: Assignment, model: str) -> bool:
    """Whether the line is for a model name that is not LoadGen's own, but that the run used."""
    return model not in MODELS and assignment.key.startswith(f"{model}.")


@user_conf_checks.rule("user-conf.syntax", source=PARSER)
def loadgen_reads_it(scenario: ScenarioDirectory) -> Iterator[Problem]:
    conf, path = read(scenario), conf_path(scenario)
    if conf is None:
        return
    for line, why in conf.errors:
        yield path, f"line {line}: {why}; LoadGen discards the whole file"
    for finding in read_lines(conf, scenario):
        if finding.status is Status.FAIL or (finding.blocks_submission and scenario.closed):
            yield path, finding.found


@user_conf_checks.rule("user-conf.ignored", source=PARSER, weight=Weight.NOTE)
def loadgen_skips_nothing(scenario: ScenarioDirectory) -> Iterator[Problem]:
    """LoadGen skips what it does not know without a word; whether that mattered, ``user-conf.same`` says."""
    conf, path = read(scenario), conf_path(scenario)
    if conf is None:
        return
    for line, why in ignored(conf):
        yield path, f"line {line}: {why}"
    for assignment in conf.assignments:
        finding = unread(assignment)
        if finding and not is_for(assignment, model_name(scenario)):
            yield path, finding.found


@user_conf_checks.rule("user-conf.surprise", source=PARSER, weight=Weight.EXPLAIN)
def loadgen_reads_all_of_it(scenario: ScenarioDirectory) -> Iterator[Problem]:
    conf, ran = read(scenario), ran_as(scenario)
    if conf is None or ran is None:
        return
    findings = [f for f in read_lines(conf, scenario) if f.status is Status.WARN and not f.blocks_submission]
    for finding in findings + overshadowed(conf, model=model_name(scenario), scenario=ran.loadgen_name):
        yield conf_path(scenario), finding.found


@user_conf_checks.rule("user-conf.rules", source=f"{LOADGEN}/mlperf.conf; {CHECKER}/checks/performance_check.py")
def keeps_the_rules(scenario: ScenarioDirectory) -> Iterator[Problem]:
    conf, ran = read(scenario), ran_as(scenario)
    if conf is not None and ran is not None and scenario.closed:
        for finding in submittable(conf, model=model_name(scenario), scenario=ran.loadgen_name):
            yield conf_path(scenario), finding.found


@user_conf_checks.rule("user-conf.same", source=f"{POLICIES}, mandatory files: user.conf; {PARSER}")
def is_the_one_of_the_run(scenario: ScenarioDirectory) -> Iterator[Problem]:
    conf, ran = read(scenario), ran_as(scenario)
    if conf is not None and ran is not None:
        for key, logged, said in differences(conf, scenario, ran, model=model_name(scenario)):
            if said is not None:
                yield conf_path(scenario), f"{key} is {said:g} here, the performance run had {logged:g}"


@user_conf_checks.rule("user-conf.rate", source=f"{POLICIES}, mandatory files: user.conf", weight=Weight.EXPLAIN)
def sets_the_rate(scenario: ScenarioDirectory) -> Iterator[Problem]:
    """The rate can be set by the program too, but then the file does not tell how to repeat the run."""
    conf, ran = read(scenario), ran_as(scenario)
    if conf is not None and ran is not None:
        for key, logged, said in differences(conf, scenario, ran, model=model_name(scenario)):
            if said is None:
                yield conf_path(scenario), f"sets no {key}; the performance run had {logged:g}"


def differences(
    conf: Conf, scenario: ScenarioDirectory, ran: Scenario, *, model: str
) -> Iterator[tuple[str, float, float | None]]:
    """(key, logged value, value in user.conf) where the two differ. None: user.conf lacks the rate, and the run did
    not have LoadGen's default.
    """
    rate, rate_key, default = RATES[ran]
    values: dict[str, tuple[str, float]] = {}
    for key, _, value in in_effect(conf, model=model, scenario=ran.loadgen_name):
        if key.name == rate:
            values[rate] = (rate_key, float(value))
        elif key.name in LOGGED:
            values[key.name] = (LOGGED[key.name], float(value))
    for name, (logged_key, said) in values.items():
        logged = scenario.performance.number(logged_key)
        if logged is None and (flag := scenario.performance.flag(logged_key)) is not None:
            logged, said = float(flag), float(said != 0)
        if logged is not None and not math.isclose(logged, said, rel_tol=1e-4, abs_tol=1e-9):
            yield name, logged, said
    logged = scenario.performance.number(rate_key)
    if rate not in values and logged is not None and not math.isclose(logged, default, rel_tol=1e-4):
        yield rate, logged, None
