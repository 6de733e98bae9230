"""Rules that a performance run must keep and that the official checker does not look at.

LoadGen's own verdict, real durations, the limits that were really requested, equal issue, an unmodified LoadGen.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.config import Scenario
from harness.loadgen.log import DetailLog
from harness.rounds import ROUND
from harness.submission.check.performance import rule
from harness.submission.check.tree import ScenarioDirectory
from harness.submission.rules import LOADGEN, POLICIES, RULES, VERSION

TOLERANCE_S = 0.01  # the logged rates have six digits: 600 s are known to some milliseconds


@rule("validity.verdict", source=f"{LOADGEN}/results.cc; {RULES}, LoadGen Operation")
def loadgen_says_valid(_: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    verdict = log.values.get("result_validity")
    if verdict != "VALID":
        why = " ".join(str(log.values.get("result_invalid_reason", "")).split())
        failed = [
            name
            for name in ("perf_constraints", "min_duration", "min_queries")
            if log.flag(f"result_{name}_met") is False
        ]
        yield f"LoadGen's verdict is {verdict}{': ' if failed or why else ''}{', '.join(failed)} {why}".rstrip()


@rule("validity.complete", source=f"{LOADGEN}/results.cc (LogDetail); {POLICIES}, Logging requirements")
def log_is_complete(_: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    yield from log.damaged[:3]
    if not log.finished or log.integer("num_errors") is None:
        yield "ends before LoadGen's last line: the run did not finish, or the log was cut off"
    single = log.lines - len(log.errors) - len(log.warnings) - len(log.messages)
    if single > len(log.values):
        yield f"{single - len(log.values)} keys appear more than once: this is more than one run's log"


@rule("validity.mode", source=f"{RULES}, LoadGen Operation: performance and accuracy are separate runs")
def is_a_performance_run(_: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    if (mode := log.values.get("effective_test_mode")) != "PerformanceOnly":
        yield f"is the log of a run in mode {mode}, not PerformanceOnly"
    if log.audit_config_used:
        yield "LoadGen read an audit.config: this is a compliance run, not the performance run"


@rule("validity.duration", source=f"{LOADGEN}/results.cc (MinDurationMet); {RULES}, Scenarios: 600 seconds")
def lasted_long_enough(_: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    duration = log.duration_s
    if duration is not None and duration < ROUND.min_duration_ms / 1000 - TOLERANCE_S:
        yield f"the run lasted {duration:.1f} s, at least {ROUND.min_duration_ms // 1000} s are required"
    if log.flag("result_min_duration_met") is False:
        yield "LoadGen says that the minimum duration is not met"


@rule("validity.equal-issue", source=f"{LOADGEN}/mlperf.conf (sample_concatenate_permutation); {RULES}, Scenarios")
def issues_equally(scenario: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    if log.flag("effective_sample_concatenate_permutation") is not True:
        yield "equal issue is off: effective_sample_concatenate_permutation must be true"
    count = log.sample_count
    if count is not None and count % scenario.rules.samples:
        yield f"{count} samples were issued, no multiple of the data set's {scenario.rules.samples}"


@rule("validity.limits", source=f"{LOADGEN}/mlperf.conf (ttft_latency, tpot_latency)")
def limits_are_the_scenario_s(scenario: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    if scenario.scenario is None or scenario.scenario not in ROUND.limits_ns or not scenario.closed:
        return
    for what, limit in zip(("ttft", "tpot"), ROUND.limits_ns[scenario.scenario], strict=True):
        value = log.integer(f"requested_server_{what}_latency")
        if value != limit:
            found = "not logged" if value is None else f"{value / 1e6:g} ms"
            yield f"LoadGen judged {what.upper()} by {found}, {scenario.name} has {limit / 1e6:g} ms"


@rule("validity.percentile", source=f"{RULES}, Scenarios: tail latency")
def percentile_is_the_scenario_s(_: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    wanted = {"Server": 0.99, "SingleStream": 0.9}.get(log.text("effective_scenario") or "")
    found = log.number("effective_target_latency_percentile")
    if wanted and found != wanted:
        yield f"the target latency percentile is {found}, {wanted} is required"


@rule("validity.loadgen", source=f"{RULES}, LoadGen Operation: an approved revision without alteration")
def loadgen_is_untouched(_: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    version = log.loadgen_version
    if version is None or version < ROUND.min_loadgen:
        wanted = ".".join(map(str, ROUND.min_loadgen))
        yield f"LoadGen is {log.values.get('loadgen_version')}, {VERSION} needs {wanted} or later"
    if changed := str(log.values.get("loadgen_git_status_message", "")).strip():
        yield f"LoadGen was built from altered sources: {changed.splitlines()[0]}"


@rule("validity.issue", source=f"{LOADGEN}/test_settings.h (performance_issue_unique, performance_issue_same)")
def issues_what_the_rules_say(_: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    for key in ("performance_issue_unique", "performance_issue_same"):
        if log.flag(f"effective_{key}"):
            yield f"{key} was on: a debugging setting, no submission may use it"


@rule("validity.answers", source=f"{LOADGEN}/logging.cc; {RULES}, LoadGen Operation")
def everything_was_answered(scenario: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    generated, judged = log.integer("generated_query_count"), log.integer("result_query_count")
    ran = log.text("effective_scenario")
    if generated is not None and judged is not None and ran != "SingleStream" and judged != generated:
        yield f"{generated} queries were generated, {judged} were judged"
    tpot = log.number("result_time_per_output_token_50.00_percentile_ns")
    if scenario.scenario is not Scenario.OFFLINE and tpot is not None and not 0 < tpot < 1e15:
        yield f"the median time per output token is {tpot:g} ns: token counts were not reported"
