"""The user.conf in the tree: LoadGen can read it, and it is the one that the runs used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from harness.config import Scenario
from harness.loadgen.conf_keys import in_effect
from harness.loadgen.conf_parser import Conf, parse
from harness.loadgen.rules import Weight
from harness.loadgen.rules.sources import CHECKER, LOADGEN, POLICIES
from harness.preflight.base import Status
from harness.preflight.loadgen_conf import inspect, overshadowed, submittable
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


def conf_path(scenario: ScenarioDirectory) -> Path:
    return scenario.path / "user.conf"


def read(scenario: ScenarioDirectory) -> Conf | None:
    path = conf_path(scenario)
    return parse(path.read_bytes()) if path.is_file() else None


def model_name(scenario: ScenarioDirectory) -> str:
    """LoadGen's model name for the scenario (loadgen/mlperf.conf)."""
    return scenario.rules.benchmark.model_name(scenario.scenario or Scenario.OFFLINE)


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


@user_conf_checks.rule("user-conf.syntax", source=PARSER)
def loadgen_reads_it(scenario: ScenarioDirectory) -> Iterator[Problem]:
    conf, path = read(scenario), conf_path(scenario)
    if conf is None:
        return
    for line, why in conf.errors:
        yield path, f"line {line}: {why}; LoadGen discards the whole file"
    for line, why in conf.ignored:
        yield path, f"line {line}: {why}"
    for assignment in conf.assignments:
        for finding in inspect(assignment):
            if finding.status is Status.FAIL or (finding.blocks_submission and scenario.closed):
                yield path, finding.found


@user_conf_checks.rule("user-conf.surprise", source=PARSER, weight=Weight.EXPLAIN)
def loadgen_reads_all_of_it(scenario: ScenarioDirectory) -> Iterator[Problem]:
    conf, ran = read(scenario), ran_as(scenario)
    if conf is None or ran is None:
        return
    findings = [f for a in conf.assignments for f in inspect(a) if f.status is Status.WARN and not f.blocks_submission]
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
        for key, logged, said in differences(conf, scenario, ran):
            yield conf_path(scenario), f"{key} is {said:g} here, the performance run had {logged:g}"


def differences(conf: Conf, scenario: ScenarioDirectory, ran: Scenario) -> Iterator[tuple[str, float, float]]:
    """(key, logged value, value in user.conf) where the two differ. A rate that user.conf lacks has LoadGen's
    default.
    """
    rate, rate_key, default = RATES[ran]
    values = {rate: (rate_key, default)}
    for key, _, value in in_effect(conf, model=model_name(scenario), scenario=ran.loadgen_name):
        if key.name == rate:
            values[rate] = (rate_key, float(value))
        elif key.name in ("min_duration", "max_duration"):
            values[key.name] = (f"requested_{key.name}_ms", float(value))
        elif key.name in ("min_query_count", "max_query_count"):
            values[key.name] = (f"requested_{key.name}", float(value))
    for name, (logged_key, said) in values.items():
        logged = scenario.performance.number(logged_key)
        if logged is not None and not math.isclose(logged, said, rel_tol=1e-4, abs_tol=1e-9):
            yield name, logged, said
