"""What the official checker asks of a performance run (checks/performance_check.py), scenario by scenario."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.config import Scenario
from harness.loadgen.log import DetailLog
from harness.rounds import ROUND
from harness.submission.check.base import Checks, Problem, Severity
from harness.submission.check.tree import ScenarioDirectory
from harness.submission.rules import CHECKER, LOADGEN, NETWORK_SUT, RULES

performance_checks: Checks[ScenarioDirectory] = Checks()
SOURCE = f"{CHECKER}/checks/performance_check.py"
METRIC = {  # constants.py, RESULT_FIELD_NEW and RESULT_FIELD_BENCHMARK_OVERWRITE of v6.1
    "Offline": "result_tokens_per_second",
    "Server": "result_completed_tokens_per_second",
    "SingleStream": "result_90.00_percentile_latency_ns",
}

LogCheck = Callable[[ScenarioDirectory, DetailLog], Iterator[str]]


def rule(name: str, *, source: str, severity: Severity = Severity.ERROR) -> Callable[[LogCheck], LogCheck]:
    """Register a check of the performance log; it does not run where there is none."""

    def register(function: LogCheck) -> LogCheck:
        @performance_checks.rule(name, source=source, severity=severity)
        def check(scenario: ScenarioDirectory) -> Iterator[Problem]:
            if scenario.performance.exists:
                for message in function(scenario, scenario.performance):
                    yield scenario.performance_path, message

        return function

    return register


@rule("performance.errors", source=f"{SOURCE} (loadgen_errors_check)")
def no_errors(_: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    for text in log.errors[:5]:
        yield f"LoadGen logged an error: {text}"
    if log.error_count > len(log.errors[:5]):
        yield f"{log.error_count} errors are logged in all"


@rule("performance.sample-count", source=f"{SOURCE} (performance_sample_count_check)")
def sample_count(scenario: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    count, wanted = log.integer("effective_performance_sample_count"), scenario.rules.samples
    if count is None or count < wanted:
        yield f"effective_performance_sample_count is {count}, at least {wanted} are required"


@rule("performance.seeds", source=f"{SOURCE} (seeds_check); {LOADGEN}/mlperf.conf")
def seeds(_: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    for key, wanted in ROUND.seeds.items():
        if log.values.get(key) != wanted:
            yield f"{key} is {log.values.get(key)}, this round's is {wanted}"


@rule("performance.early-stopping", source=f"{SOURCE} (latency_check); {RULES}, Early Stopping Criterion")
def early_stopping(_: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    if log.text("effective_scenario") != "Offline" and log.flag("early_stopping_met") is not True:
        results = [str(log.values.get(f"early_stopping_{kind}_result", "")) for kind in ("ttft", "tpot")]
        yield f"early stopping is not met: {' '.join(' '.join(results).split()) or 'no result'}"


@rule("performance.target-latency", source=f"{SOURCE} (latency_check)")
def target_latency(_: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    target = log.number("effective_target_latency_ns")
    if log.text("effective_scenario") == "Server" and (target is None or target > ROUND.max_target_latency_ns):
        yield f"effective_target_latency_ns is {target}, at most {ROUND.max_target_latency_ns} is allowed"


@rule("performance.offline-samples", source=f"{SOURCE} (min_query_count_check); {RULES}, Scenarios")
def offline_samples(scenario: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    samples, wanted = log.integer("effective_samples_per_query"), scenario.rules.samples
    if log.text("effective_scenario") == "Offline" and (samples is None or samples < wanted):
        yield f"effective_samples_per_query is {samples}, Offline needs at least {wanted}"


@rule("performance.min-duration", source=f"{SOURCE} (min_duration_check); {RULES}, Scenarios: 600 seconds")
def min_duration(_: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    duration = log.integer("effective_min_duration_ms")
    if duration is None or duration < ROUND.min_duration_ms:
        yield f"effective_min_duration_ms is {duration}, at least {ROUND.min_duration_ms} is required"


@rule("performance.network", source=f"{SOURCE} (network_check); {RULES}, Network Division")
def network_name(scenario: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    name = log.text("sut_name") or ""
    if scenario.benchmark.system.is_network and NETWORK_SUT not in name:
        yield f"sut_name {name!r} must contain {NETWORK_SUT!r} in the network division"


@rule("performance.token-latencies", source=f"{SOURCE} (llm_check)")
def token_latencies(_: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    if log.flag("requested_use_token_latencies") is not True:
        yield "use_token_latencies is off: an LLM benchmark needs it"


@rule("performance.latency", source=f"{SOURCE} (llm_check); {LOADGEN}/mlperf.conf (Interactive's own limits)")
def latencies(scenario: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    if log.text("effective_scenario") != "Server":
        return
    limits = ROUND.limits_ns.get(scenario.scenario or "", ROUND.limits_ns[Scenario.SERVER])
    keys = ("result_first_token_99.00_percentile_latency_ns", "result_time_per_output_token_99.00_percentile_ns")
    for what, key, limit in zip(("TTFT", "TPOT"), keys, limits, strict=True):
        value = log.number(key)
        if value is None:
            yield f"the 99th percentile of {what} is missing ({key})"
        elif not 0 < value < limit:
            yield f"{scenario.name}: 99th percentile of {what} is {value / 1e6:g} ms, must be under {limit / 1e6:g} ms"


@rule("performance.scenario", source=f"{SOURCE} (inferred_check)")
def scenario_matches(scenario: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    ran = log.text("effective_scenario")
    if scenario.scenario is None or ran == scenario.scenario.loadgen_name:
        return
    is_edge = "edge" in str(scenario.benchmark.system.fields.get("system_type"))
    if not (is_edge and (ran, scenario.scenario) == ("SingleStream", Scenario.OFFLINE)):
        yield f"is the log of a {ran} run, the directory says {scenario.name}"


@rule("performance.metric", source=f"{SOURCE} (get_performance_metric_check)")
def metric(_: ScenarioDirectory, log: DetailLog) -> Iterator[str]:
    key = METRIC.get(log.text("effective_scenario") or "", "effective_scenario")
    value = log.number(key)
    if value is None or value <= 0:
        yield f"has no result: {key} is {log.values.get(key)!r}"
