"""The figures of a performance run are all there, and follow from each other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from harness.loadgen.log import DetailLog
from harness.loadgen.rules.base import SUBMISSION, Weight
from harness.loadgen.rules.logs import BOOK, PERFORMANCE, Logs
from harness.loadgen.rules.sources import LOADGEN, PERFORMANCE_CHECK

SIX_DIGITS = 2e-5  # of the logged rates
EVERY_RUN = (  # keys that LoadGen writes in every performance run (results.cc, test_settings_internal.cc)
    "effective_min_query_count",
    "result_min_duration_met",
    "result_min_queries_met",
    "result_query_count",
    "generated_query_count",
    "generated_query_duration",
    "generated_samples_per_query",
    "result_min_latency_ns",
    "result_max_latency_ns",
    "result_mean_latency_ns",
)
PERCENTILE_KEYS = ("50.00", "90.00", "95.00", "97.00", "99.00", "99.90")
FAMILIES = {  # what is measured -> keys of min, mean, max and of a percentile
    "latency": ("result_{}_latency_ns", "result_{}_percentile_latency_ns"),
    "TTFT": ("result_first_token_{}_latency_ns", "result_first_token_{}_percentile_latency_ns"),
    "TPOT": ("result_time_to_output_token_{}", "result_time_per_output_token_{}_percentile_ns"),
}
WRITTEN = {
    "Offline": ("result_samples_per_second", "result_tokens_per_second"),
    "Server": (
        "result_scheduled_samples_per_sec",
        "result_completed_samples_per_sec",
        "result_completed_tokens_per_second",
        "result_perf_constraints_met",
        "early_stopping_ttft_result",
        "early_stopping_tpot_result",
    ),
    "SingleStream": (
        "result_qps_with_loadgen_overhead",
        "result_qps_without_loadgen_overhead",
        "early_stopping_latency_ss",
    ),
}


@BOOK.rule(
    "results.keys",
    source=f"{LOADGEN}/results.cc (LogDetail); {PERFORMANCE_CHECK} reads some of them unasked",
    breaks=SUBMISSION,
    weight=Weight.REFUSED,
    modes=PERFORMANCE,
    of_results=True,
)
def every_line_is_there(logs: Logs) -> Iterator[str]:
    """A line that is missing must not switch off the rules that read it."""
    wanted = [*EVERY_RUN, *WRITTEN.get(logs.ran, ())]
    for name in ("latency",) if logs.ran == "Offline" else FAMILIES:
        wanted += [FAMILIES[name][1].format(p) for p in PERCENTILE_KEYS]
    missing = [key for key in wanted if logs.detail.values.get(key) is None]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        yield f"LoadGen's log lacks {', '.join(missing[:3])}{more}"
    if logs.ran == "SingleStream" and not missing and logs.detail.number("early_stopping_latency_ss") is None:
        yield "early_stopping_latency_ss is no number"


@BOOK.rule(
    "results.figures",
    source=f"{LOADGEN}/results.cc: how the figures follow from each other",
    breaks=SUBMISSION,
    modes=PERFORMANCE,
    of_results=True,
)
def figures_follow_from_each_other(logs: Logs) -> Iterator[str]:
    """On every log that LoadGen wrote these hold to the six digits of its rates."""
    yield from _rates(logs)
    for name, (simple, percentile) in FAMILIES.items():
        rising = [("min", simple), *((p, percentile) for p in PERCENTILE_KEYS), ("max", simple)]
        found = [(part, value) for part, key in rising if (value := logs.detail.number(key.format(part))) is not None]
        for (lower, low), (upper, high) in pairwise(found):
            if low > high:
                yield f"{name}: {lower} is {low:g} ns, above {upper}, {high:g} ns"


def _rates(logs: Logs) -> Iterator[str]:
    log, count, longest = logs.detail, logs.detail.sample_count, logs.detail.number("result_max_latency_ns")
    if logs.ran == "Offline" and count and longest:
        yield from _equal(log, "result_samples_per_second", count * 1e9 / longest, "samples / max latency")
    if logs.ran == "SingleStream" and (mean := log.number("result_mean_latency_ns")):
        yield from _equal(log, "result_qps_without_loadgen_overhead", 1e9 / mean, "1 / mean latency")
    scheduled, completed = (log.number(f"result_{name}_samples_per_sec") for name in ("scheduled", "completed"))
    if logs.ran != "Server" or not count or not scheduled or not completed:
        return
    if completed > scheduled * (1 + SIX_DIGITS):
        yield f"{completed:g} samples/s were completed, only {scheduled:g} were scheduled"
    tokens = log.number("result_completed_tokens_per_second")
    if tokens is not None and tokens > completed * (logs.round.max_new_tokens + 2):
        yield f"{tokens:g} tokens/s are {tokens / completed:.1f} a sample, more than {logs.round.max_new_tokens}"
    for kind in ("ttft", "tpot"):
        text = log.text(f"early_stopping_{kind}_result") or ""
        if log.flag("early_stopping_met") and "unsuccessful" in text.lower():
            yield f"early stopping is called met, its {kind.upper()} result unsuccessful"


def _equal(log: DetailLog, key: str, wanted: float, what: str) -> Iterator[str]:
    found = log.number(key)
    if found is not None and abs(found / wanted - 1) > SIX_DIGITS:
        yield f"{key} is {found:g}, but {what} makes it {wanted:g}"
