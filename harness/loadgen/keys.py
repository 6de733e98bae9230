"""The lines that LoadGen writes into every detail log: what a rule reads must be there, or the rule would be silent.

Source: mlcommons/inference loadgen/test_settings_internal.cc (LogAllSettings), loadgen.cc and results.cc (LogDetail) at
6.0.17. Left out is what tells of LoadGen's build (a build without git lacks it) and of its own logging threads.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.loadgen.log import PERCENTILES as NAMED

Setting = bool | int | float | str
"""What a field of TestSettings holds, an enum by its name."""
PERCENTILES = tuple(NAMED.values())
FAMILIES = {  # what is measured -> keys of min, mean, max and of a percentile
    "latency": ("result_{}_latency_ns", "result_{}_percentile_latency_ns"),
    "TTFT": ("result_first_token_{}_latency_ns", "result_first_token_{}_percentile_latency_ns"),
    "TPOT": ("result_time_to_output_token_{}", "result_time_per_output_token_{}_percentile_ns"),
}
IN_SUMMARY = (  # settings that mlperf_log_summary.txt has as well
    "min_duration_ms",
    "max_duration_ms",
    "min_query_count",
    "max_query_count",
    "qsl_rng_seed",
    "sample_index_rng_seed",
    "schedule_rng_seed",
    "accuracy_log_rng_seed",
    "accuracy_log_probability",
    "accuracy_log_sampling_target",
)
BOTH = (  # settings as they were asked for and as they took effect
    "scenario",
    "test_mode",
    *IN_SUMMARY,
    "print_timestamps",
    "performance_issue_unique",
    "performance_issue_same",
    "performance_issue_same_index",
    "sample_concatenate_permutation",
)
COPIED = tuple(name for name in BOTH if name != "min_query_count")
"""Those that LoadGen never changes on the way from asked for to in effect."""
ALWAYS = (
    "loadgen_version",
    "loadgen_git_status_message",
    "test_datetime",
    "sut_name",
    "qsl_name",
    "qsl_reported_total_count",
    "qsl_reported_performance_count",
    *(f"requested_{name}" for name in BOTH),
    *(f"effective_{name}" for name in BOTH),
    "requested_performance_sample_count_override",
    "requested_use_token_latencies",
    "effective_samples_per_query",
    "effective_target_qps",
    "effective_target_latency_ns",
    "effective_target_latency_percentile",
    "effective_max_async_queries",
    "effective_target_duration_ms",
    "effective_min_sample_count",
    "effective_performance_sample_count",
    "loaded_qsl_set",
    "generated_query_count",
    "generated_samples_per_query",
    "generated_query_duration",
    "power_begin",
    "power_end",
)
TEXTS = (
    "loadgen_version",
    "loadgen_git_status_message",
    "test_datetime",
    "sut_name",
    "qsl_name",
    "scenario",
    "test_mode",
    "power_begin",
    "power_end",
    "result_validity",
    "early_stopping_ttft_result",
    "early_stopping_tpot_result",
)
FLAGS = (
    "print_timestamps",
    "performance_issue_unique",
    "performance_issue_same",
    "sample_concatenate_permutation",
    "requested_use_token_latencies",
    "requested_server_coalesce_queries",
    "result_perf_constraints_met",
    "result_min_duration_met",
    "result_min_queries_met",
    "early_stopping_met",
)
LISTS = ("loaded_qsl_set",)
LIMITS = ("requested_server_ttft_latency", "requested_server_tpot_latency")
OF_SCENARIO = {
    "Offline": ("requested_offline_expected_qps",),
    "Server": (
        *LIMITS,
        "requested_server_target_qps",
        "requested_server_target_latency_ns",
        "requested_server_target_latency_percentile",
        "requested_server_coalesce_queries",
        "requested_server_max_async_queries",
        "requested_server_num_issue_query_threads",
    ),
    "SingleStream": (
        *LIMITS,
        "requested_single_stream_expected_latency_ns",
        "requested_single_stream_target_latency_percentile",
    ),
}
RESULTS = (
    "result_validity",
    "result_min_duration_met",
    "result_min_queries_met",
    "early_stopping_met",
    "early_stopping_ttft_result",
    "early_stopping_tpot_result",
    "result_query_count",
    "num_errors",
)
TOKEN_RATES = (
    "result_token_throughput_with_loadgen_overhead",
    "result_token_throughput",
    "result_completed_tokens_per_second",
)
RESULTS_OF_SCENARIO = {
    "Offline": ("result_samples_per_second", "result_tokens_per_second"),
    "Server": (
        *TOKEN_RATES,
        "result_perf_constraints_met",
        "result_overlatency_query_count",
        "result_scheduled_samples_per_sec",
        "result_completed_samples_per_sec",
    ),
    "SingleStream": (
        *TOKEN_RATES,
        "result_qps_with_loadgen_overhead",
        "result_qps_without_loadgen_overhead",
        "early_stopping_latency_ss",
        "early_stopping_latency_ms",
    ),
}


def settings(scenario: str) -> Iterator[str]:
    """The lines of every test of LoadGen's ``scenario``, with token latencies on."""
    yield from ALWAYS
    yield from OF_SCENARIO.get(scenario, ())


def results(scenario: str) -> Iterator[str]:
    """The lines that a performance run of LoadGen's ``scenario`` adds."""
    yield from RESULTS
    yield from RESULTS_OF_SCENARIO.get(scenario, ())
    for name in ("latency",) if scenario == "Offline" else FAMILIES:
        simple, percentile = FAMILIES[name]
        yield from (simple.format(part) for part in ("min", "mean", "max"))
        yield from (percentile.format(part) for part in PERCENTILES)


def why_not(key: str, value: object) -> str | None:
    """Why LoadGen cannot have written ``value`` for ``key``, which is one of the above; None if it can."""
    name = key.removeprefix("requested_").removeprefix("effective_")
    if {key, name} & set(TEXTS):
        return None if isinstance(value, str) else "is no text"
    if {key, name} & set(FLAGS):
        return None if isinstance(value, bool) else "is neither true nor false"
    if key in LISTS:
        return None if isinstance(value, list) else "is no list"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "is no number"
    return "is negative" if value < 0 else None
