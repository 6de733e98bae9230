"""user.conf: does it say what its author meant, and is the target rate plausible?

Each finding names the line. LoadGen itself discards or skips wrong lines and runs on with a target of one sample a
second.
"""

from __future__ import annotations

import codecs
import math
from pathlib import Path

from harness.config import Benchmark, Mode, Scenario
from harness.config.tree import HOUR_MS, MAX_QPS
from harness.loadgen.conf_keys import (
    DEAD_LINES,
    KEYS,
    MODELS,
    NAMES,
    SCENARIOS,
    Key,
    Kind,
    Use,
    in_effect,
    is_elsewhere,
)
from harness.loadgen.conf_parser import Assignment, Conf, c_double, c_integer, parse
from harness.loadgen.length import planned
from harness.preflight.base import Check, Context, Finding, combine, fail, passed, skipped, warn
from harness.preflight.loadgen_build import COMMON, PUBLISHED
from harness.rounds import ROUND
from mlperf_llama_base.errors import nearest

# Beyond every published result of this model: MLPerf Inference v6.0's best systems reach about 315 samples/s an
# accelerator (8 x B300) and 12 on two CPU sockets.
PLAUSIBLE_QPS_PER_GPU = 1000.0
PLAUSIBLE_QPS_CPU = 100.0


class UserConf(Check):
    """Syntax and keys of the file, by LoadGen's own rules."""

    name = "user.conf"
    of_input = True

    def run(self, context: Context) -> Finding:
        config = context.config
        if config.loadgen.user_conf is None:
            return skipped("no user.conf given")
        path = Path(config.loadgen.user_conf)
        try:
            data = path.read_bytes()
        except OSError as error:
            return fail(f"{path} cannot be read: {error.strerror}", "give an existing file with --user-conf")
        if data.startswith(codecs.BOM_UTF8):
            return fail("line 1 begins with a byte-order mark, which LoadGen reads as a part of it", "save it without")
        conf = parse(data)
        scenario = config.scenario.loadgen_name
        findings = [
            fail(f"line {line}: {why}; LoadGen discards the whole file", "correct this line")
            for line, why in conf.errors
        ]
        findings += [
            fail(f"line {line}: {why}", "write it as 'model.scenario.key = value'") for line, why in ignored(conf)
        ]
        for assignment in conf.assignments:
            findings += inspect(conf, assignment, model=config.model_name, scenario=scenario)
        findings += overshadowed(conf, model=config.model_name, scenario=scenario)
        findings += submittable(conf, model=config.model_name, scenario=scenario)
        return combine(findings, f"{len(conf.assignments)} settings, each of them takes effect")


def ignored(conf: Conf) -> list[tuple[int, str]]:
    """Lines that LoadGen skips in silence, with the reason, but for those about another benchmark."""
    return [(line, why) for line, why in conf.ignored if not is_elsewhere(why.lstrip("'"))]


def inspect(conf: Conf, assignment: Assignment, *, model: str, scenario: str) -> list[Finding]:
    """What is wrong with one ``key = value`` of ``conf``, for a run of LoadGen's ``model`` and ``scenario``."""
    if assignment.values > 1:
        where = f"line {assignment.line}: {assignment.key}"
        return [fail(f"{where} has {assignment.values} values, LoadGen takes the last", "leave one value")]
    if skipped_line := unread(assignment):
        return [skipped_line]
    keys = [] if is_elsewhere(assignment.key) else read_as(assignment)
    if not keys:
        return []
    wrong = numbers(keys, assignment)
    return wrong if is_official(conf, assignment, keys, (model, scenario)) else rules(keys, assignment) + wrong


def read_as(assignment: Assignment) -> list[Key]:
    """The keys that LoadGen reads from this line; none if it skips it."""
    _, scenario, name = assignment.key.rsplit(".", 2)
    return [key for key in KEYS if key.name == name and (scenario == "*" or key.only in (None, scenario))]


def unread(assignment: Assignment) -> Finding | None:
    """Why LoadGen never looks at this line; None if it does, or if that harms nobody (another benchmark's line)."""
    where = f"line {assignment.line}: {assignment.key}"
    parts = assignment.key.rsplit(".", 2)
    if len(parts) != 3:
        return fail(f"{where} is ignored: keys have the form model.scenario.key", f"write '*.*.{parts[-1]} = …'")
    model, scenario, name = parts
    if is_elsewhere(assignment.key) or f"{scenario}.{name}" in DEAD_LINES:
        return None
    if model not in (*MODELS, "*"):
        return fail(
            f"{where} is ignored: model {model!r} is not known{nearest(model, MODELS)}",
            f"use one of {', '.join(MODELS)} or '*'",
        )
    if scenario.lower() == "interactive":
        return fail(
            f"{where} is ignored: LoadGen has no scenario 'Interactive'",
            f"write '{Benchmark.DATACENTER.model_name(Scenario.INTERACTIVE)}.Server.{name}'",
        )
    if scenario not in (*SCENARIOS, "*"):
        return fail(
            f"{where} is ignored: scenario {scenario!r} is not known{nearest(scenario, SCENARIOS)}",
            f"use one of {', '.join(SCENARIOS)} or '*'",
        )
    if name not in NAMES:
        return fail(f"{where} is ignored: key {name!r} is not known{nearest(name, NAMES)}", "correct or remove it")
    if not read_as(assignment):
        scenarios = " and ".join(sorted({key.only for key in KEYS if key.name == name and key.only}))
        return fail(
            f"{where} is ignored: LoadGen reads {name} for {scenarios} only", "correct the scenario or remove the line"
        )
    return None


def is_official(conf: Conf, assignment: Assignment, keys: list[Key], run: tuple[str, str]) -> bool:
    """Whether the line says what LoadGen's mlperf.conf says: to this run, or if it is not meant for this run, to all of
    the benchmark's that it is meant for. Where another line of the file wins, it says nothing.
    """
    model, scenario, name = assignment.key.rsplit(".", 2)
    meant = [pair for pair in PUBLISHED if model in ("*", pair[0]) and scenario in ("*", pair[1])]
    for pair in [run] if run in meant else meant:
        if conf.lookup(model=pair[0], scenario=pair[1], name=name) is not assignment:
            continue
        for key in keys:
            if key.only in (None, pair[1]):
                published = (COMMON | PUBLISHED[pair]).get(key.field)
                value = key.value(assignment.value)
                same = math.isclose(published or 0, value) if isinstance(value, float) else published == value
                if published is None or not same:
                    return False
    return True


def rules(keys: list[Key], assignment: Assignment) -> list[Finding]:
    """Keys that user.conf should not set."""
    where, uses = f"line {assignment.line}: {assignment.key}", {key.use for key in keys}
    if Use.EMBEDDED in uses:
        return [warn(f"{where} {Use.EMBEDDED}", "remove it")]
    if Use.AUDIT in uses:
        return [warn(f"{where} {Use.AUDIT}", "remove it", blocks_submission=True)]
    if uses == {Use.OPEN}:
        return [warn(f"{where} {Use.OPEN}", "remove it for a closed submission", blocks_submission=True)]
    return []


def numbers(keys: list[Key], assignment: Assignment) -> list[Finding]:
    """Values that LoadGen reads as another number than a person does."""
    text = assignment.value
    if all(key.kind is Kind.NUMBER for key in keys):
        return []
    number, whole = c_integer(text)
    meant, _ = c_double(text)
    if whole and number == meant and not text.startswith("-"):
        return []
    if text.isdecimal() and str(number) == text:  # beyond what a double holds exactly
        return []
    return [
        fail(
            f"line {assignment.line}: {assignment.key} = {text}: LoadGen reads the integer {number}",
            "write a plain decimal integer",
        )
    ]


def overshadowed(conf: Conf, *, model: str, scenario: str) -> list[Finding]:
    """Lines that lose against another one in a way that surprises."""
    found = []
    for name in sorted(NAMES):
        winner = conf.lookup(model=model, scenario=scenario, name=name)
        loser = conf.last(f"{model}.*.{name}")
        if not winner or not loser or winner.key != f"*.{scenario}.{name}":
            continue
        if c_double(winner.value) != c_double(loser.value):
            found.append(
                warn(
                    f"line {loser.line}: {loser.key} loses against line {winner.line}: {winner.key}",
                    f"LoadGen prefers *.{scenario}; write '{model}.{scenario}.{name}'",
                )
            )
    seen: dict[str, Assignment] = {}
    for assignment in conf.assignments:
        if (before := seen.get(assignment.key)) and before.value != assignment.value:
            found.append(
                warn(
                    f"line {before.line}: {assignment.key} is set again in line {assignment.line}",
                    "remove one of the two",
                )
            )
        seen[assignment.key] = assignment
    return found


def submittable(conf: Conf, *, model: str, scenario: str) -> list[Finding]:
    """Effective values with which the run cannot be submitted (duration, sample counts, equal issue)."""
    found = []
    floor = next((b.samples for b in ROUND.benchmarks.values() if model in b.models.values()), 0)
    for key, assignment, value in in_effect(conf, model=model, scenario=scenario):
        where = f"line {assignment.line}: {assignment.key} = {assignment.value}"
        if key.name == "min_duration" and value < ROUND.min_duration_ms:
            found.append(
                warn(
                    f"{where} is below the rules' {ROUND.min_duration_ms} ms", "remove the line", blocks_submission=True
                )
            )
        if key.name == "performance_sample_count_override" and value < floor:
            found.append(warn(f"{where} is below the rules' {floor}", "remove the line", blocks_submission=True))
        if key.name == "min_query_count" and scenario == "Offline" and value < floor:
            found.append(
                warn(f"{where} is below the rules' {floor} samples", "remove the line", blocks_submission=True)
            )
        if key.name == "sample_concatenate_permutation" and not value:
            found.append(warn(f"{where} turns equal issue off", "remove the line", blocks_submission=True))
        if key.name in ("max_duration", "max_query_count") and value:
            found.append(
                warn(f"{where} can end the run before the rules' minimum", "remove the line", blocks_submission=True)
            )
    return found


class TargetRate(Check):
    """The expected rate: present, positive, plausible; and how long the run will take with it."""

    name = "target rate"
    of_input = True

    def run(self, context: Context) -> Finding:
        config = context.config
        if config.mode is Mode.ACCURACY and config.scenario in (Scenario.OFFLINE, Scenario.SINGLESTREAM):
            return skipped("an accuracy run of this scenario does not depend on it")
        value, source = target(context)
        single = config.scenario is Scenario.SINGLESTREAM
        name = "target_latency" if single else "target_qps"
        option = "--set loadgen.target_latency_ms=MS" if single else "--target-qps"
        key = f"{config.model_name}.{config.scenario.loadgen_name}.{name}"
        if value is None:
            known = "10 ms, which makes 125,000 queries the minimum" if single else "1 sample/s"
            return warn(f"no {name} is set: LoadGen takes {known}", f"measure it, then use {option} or '{key} = …'")
        most = HOUR_MS if single else MAX_QPS
        if not 0 < value <= most:
            advice = f"give a positive number, at most {most:,.0f}, with {option}"
            return fail(f"{source}: {name} {value:g} is not a rate", advice)
        if single:
            return passed(f"target_latency {value:g} ms ({source})")
        return self._plausible(context, value, source)

    def _plausible(self, context: Context, qps: float, source: str) -> Finding:
        test = planned(context.config, qps)
        seconds, samples = test.seconds, test.samples
        plan = f"target_qps {qps:g} ({source}): {samples:,} samples, {seconds:,.0f} s at that rate"
        if context.loads_model:
            gpus = len(context.gpus.gpus) if context.uses_gpus else 0
            limit = PLAUSIBLE_QPS_PER_GPU * gpus if gpus else PLAUSIBLE_QPS_CPU
            if qps > limit and context.config.cluster.address == "local":
                return warn(
                    f"{plan}; more than {limit:g} is beyond every published result for {gpus or 'no'} GPU",
                    "check the unit: samples per second, not tokens",
                )
        if seconds > 4 * 3600:
            return warn(f"{plan}: over four hours", "check the rate, or choose a smoke profile")
        return passed(plan)


def target(context: Context) -> tuple[float | None, str]:
    """The configured rate (samples/s; SingleStream: latency in ms) and where it is from."""
    config = context.config
    single = config.scenario is Scenario.SINGLESTREAM
    given = config.loadgen.target_latency_ms if single else config.loadgen.target_qps
    if given is not None:
        return given, "configuration"
    if config.loadgen.user_conf and Path(config.loadgen.user_conf).is_file():
        conf = parse(Path(config.loadgen.user_conf).read_bytes())
        name = "target_latency" if single else "target_qps"
        for key, assignment, value in in_effect(conf, model=config.model_name, scenario=config.scenario.loadgen_name):
            if key.name == name:
                return value / key.scale, f"user.conf line {assignment.line}"
    return None, ""


class Shortened(Check):
    """A smoke profile shortens the run on purpose; say so before anybody takes its number for a result."""

    name = "run length"
    of_input = True

    def run(self, context: Context) -> Finding:
        loadgen, data = context.config.loadgen, context.config.dataset
        reasons = []
        if loadgen.min_duration_ms is not None and loadgen.min_duration_ms < ROUND.min_duration_ms:
            reasons.append(f"min_duration_ms {loadgen.min_duration_ms:,}")
        for name in ("min_query_count", "max_query_count", "max_duration_ms"):
            if (value := getattr(loadgen, name)) is not None:
                reasons.append(f"{name} {value:,}")
        if data.limit is not None:
            reasons.append(f"dataset.limit {data.limit:,}")
        if context.config.mode is Mode.COMPLIANCE or not reasons:
            return passed(f"the rules' {ROUND.min_duration_ms:,} ms at least")
        return warn(
            f"shortened by the configuration: {', '.join(reasons)}",
            "a smoke run: it cannot be submitted",
            blocks_submission=True,
        )
