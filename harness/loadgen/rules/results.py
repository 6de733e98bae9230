"""What LoadGen measured in a performance run, and its own verdict on it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config import Scenario
from harness.loadgen.log import DetailLog
from harness.loadgen.rules.base import CLOSED_ONLY, OPEN_ONLY, SUBMISSION, Weight
from harness.loadgen.rules.logs import BOOK, PERFORMANCE, Logs
from harness.loadgen.rules.sources import LOADGEN, OPEN, PERFORMANCE_CHECK, RULES
from harness.rounds import Limits

VERDICT = "validity.verdict"
TOLERANCE_S = 0.01  # the logged rates have six digits: 600 s are known to some milliseconds
METRIC = {  # constants.py, RESULT_FIELD_NEW and RESULT_FIELD_BENCHMARK_OVERWRITE of v6.1
    "Offline": "result_tokens_per_second",
    "Server": "result_completed_tokens_per_second",
    "SingleStream": "result_90.00_percentile_latency_ns",
}
P99 = {
    "TTFT": "result_first_token_99.00_percentile_latency_ns",
    "TPOT": "result_time_per_output_token_99.00_percentile_ns",
}


@BOOK.rule(
    VERDICT,
    source=f"{LOADGEN}/results.cc; {RULES}, LoadGen Operation; {OPEN}",
    in_open=Weight.EXPLAIN,
    modes=PERFORMANCE,
    of_results=True,
)
def loadgen_says_valid(logs: Logs) -> Iterator[str]:
    """TEST06 issues 100 queries, fewer than early stopping takes, so its own verdict is moot."""
    log = logs.detail
    verdict, details = log.text("result_validity") or "nothing", list(_unmet(log))
    if verdict != "VALID" or details:
        advice = " ".join((log.text("result_invalid_reason") or "").replace("*", "").split())
        yield f"LoadGen says {verdict}: {'; '.join(details) or 'no reason given'}" + (f" ({advice})" if advice else "")


def _unmet(log: DetailLog) -> Iterator[str]:
    if log.flag("result_min_duration_met") is False:
        took, needed = log.duration_s, (log.number("effective_min_duration_ms") or 0.0) / 1e3
        yield f"it took {took:,.3f} s of {needed:,.3f} s" if took is not None else "it was too short"
    if log.flag("result_min_queries_met") is False:
        yield "it issued too few queries"
    if log.flag("result_perf_constraints_met") is False:
        yield "the latency limits were not met"
    if log.flag("early_stopping_met") is False and log.text("result_validity") == "INVALID":
        texts = [log.text(f"early_stopping_{kind}result") or "" for kind in ("tpot_", "ttft_", "")]
        yield "early stopping: " + " ".join(" ".join(texts).replace("*", "").split())


def too_short(log: DetailLog) -> bool:
    """Whether LoadGen says INVALID for nothing but the length: what was measured keeps every limit.

    A test ends before its minimum, or has fewer queries than early stopping takes to tell (Server: 459 at the 99th
    percentile, all of them under the limits). A longer one may be VALID, or not: there is no verdict.
    """
    if log.text("result_validity") != "INVALID" or log.flag("result_perf_constraints_met") is False:
        return False
    over = [(log.number(key) or 0.0) > limit for key, limit in _limits(log)]
    lacking = log.flag("early_stopping_met") is False
    short = log.flag("result_min_duration_met") is False or log.flag("result_min_queries_met") is False
    return (short or lacking) and not any(over)


def _limits(log: DetailLog) -> Iterator[tuple[str, float]]:
    """The percentiles that Server's limits bind, and these limits, in ns."""
    for name, key in P99.items():
        if (limit := log.number(f"requested_server_{name.lower()}_latency")) is not None:
            yield key, limit


@BOOK.rule(
    "performance.early-stopping",
    source=f"{PERFORMANCE_CHECK} (latency_check); {RULES}, Early Stopping Criterion; {OPEN}",
    in_open=Weight.EXPLAIN,
    modes=PERFORMANCE,
    of_results=True,
)
def early_stopping(logs: Logs) -> Iterator[str]:
    """Where LoadGen says INVALID for it, ``validity.verdict`` tells how many queries lack."""
    met, told = logs.detail.flag("early_stopping_met"), logs.detail.text("result_validity") == "INVALID"
    if logs.ran != "Offline" and met is not True and not (told and met is False):
        yield f"early stopping is {'not met' if met is False else 'not logged'}"


@BOOK.rule(
    "validity.duration",
    source=f"{LOADGEN}/results.cc (MinDurationMet); {RULES}, Scenarios: 600 seconds",
    breaks=SUBMISSION,
    modes=PERFORMANCE,
    of_results=True,
)
def duration(logs: Logs) -> Iterator[str]:
    """The time that the test really took; the official checker reads only what was asked for."""
    took, wanted = logs.detail.duration_s, logs.round.min_duration_ms / 1e3
    if took is not None and took < wanted - TOLERANCE_S:
        yield f"the run lasted {took:,.1f} s; the rules ask for {wanted:.0f} s"


@BOOK.rule(
    "validity.whole-rounds",
    source=f"{LOADGEN}/mlperf.conf (sample_concatenate_permutation); {RULES}, Scenarios",
    breaks=CLOSED_ONLY,
    modes=PERFORMANCE,
    of_results=True,
)
def whole_rounds(logs: Logs) -> Iterator[str]:
    """The whole data set, equally often. SingleStream alone may end inside a round: at the first query after 600 s."""
    issued, wanted = logs.detail.sample_count, logs.rules.samples
    if issued is not None and issued < wanted:
        yield f"{issued} samples were issued; the benchmark has {wanted}"
    elif issued is not None and issued % wanted and logs.ran != "SingleStream":
        yield f"{issued} samples were issued, which is not a multiple of the data set's {wanted}"


@BOOK.rule(
    "performance.offline-samples",
    source=f"{PERFORMANCE_CHECK} (min_query_count_check); {RULES}, Scenarios",
    breaks=CLOSED_ONLY,
    modes=PERFORMANCE,
)
def offline_samples(logs: Logs) -> Iterator[str]:
    found, wanted = logs.detail.integer("effective_samples_per_query"), logs.rules.samples
    if logs.ran == "Offline" and (found is None or found < wanted):
        yield f"effective_samples_per_query was {found}; Offline needs {wanted}"


@BOOK.rule(
    "performance.latency",
    source=f"{PERFORMANCE_CHECK} (llm_check); {LOADGEN}/mlperf.conf (Interactive's own limits); {OPEN}",
    breaks=SUBMISSION,
    in_open=Weight.EXPLAIN,
    modes=PERFORMANCE,
    of_results=True,
)
def latency(logs: Logs) -> Iterator[str]:
    """The 99th percentile is strictly below the scenario's limit, as the official checker wants it. Open has no limits:
    it reports those under which it measured.
    """
    if logs.ran == "Server":
        for text in _beyond(logs, logs.round.limits_ns.get(logs.scenario, logs.round.limits_ns[Scenario.SERVER])):
            yield f"{text} ms"


@BOOK.rule(
    "performance.open",
    source=f"{PERFORMANCE_CHECK} (latency_check, llm_check), whatever the division; {OPEN}",
    breaks=OPEN_ONLY,
    weight=Weight.REFUSED,
    modes=PERFORMANCE,
    of_results=True,
)
def the_checker_knows_no_open(logs: Logs) -> Iterator[str]:
    """The rules free the open division from latency limits; the official checker holds it to Server's, in Interactive
    too, and to early stopping.
    """
    if logs.ran == "Server":
        for text in _beyond(logs, logs.round.limits_ns[Scenario.SERVER]):
            yield f"{text} ms for the official checker, although open has no limits"
    if logs.ran != "Offline" and logs.detail.flag("early_stopping_met") is not True:
        yield "early stopping is not met: the official checker asks for it, although open has no limits"


def _beyond(logs: Logs, limits: Limits) -> Iterator[str]:
    for (name, key), limit in zip(P99.items(), limits, strict=True):
        found = logs.detail.number(key)
        if found is None or not 0 < found < limit:
            p99 = "not measured" if found is None else f"{found / 1e6:,.1f} ms"
            yield f"the 99th percentile of {name} is {p99}; it must be below {limit / 1e6:g}"


@BOOK.rule(
    "performance.metric",
    source=f"{PERFORMANCE_CHECK} (get_performance_metric_check)",
    modes=PERFORMANCE,
    of_results=True,
)
def metric(logs: Logs) -> Iterator[str]:
    key = METRIC.get(logs.ran, "effective_scenario")
    value = logs.detail.number(key)
    if value is None or value <= 0:
        yield f"the log has no result: {key} is {logs.detail.values.get(key)!r}"


@BOOK.rule(
    "validity.answers",
    source=f"{LOADGEN}/logging.cc; {RULES}, LoadGen Operation",
    breaks=SUBMISSION,
    modes=PERFORMANCE,
    of_results=True,
)
def everything_was_answered(logs: Logs) -> Iterator[str]:
    """What LoadGen planned it also judged. SingleStream stops when its time is up."""
    generated, judged = (logs.detail.integer(f"{name}_query_count") for name in ("generated", "result"))
    if logs.ran != "SingleStream" and (generated is None or judged is None or judged != generated):
        yield f"{generated} queries were generated, {judged} were judged"


@BOOK.rule(
    "validity.token-counts",
    source=f"{LOADGEN}/logging.cc (time per output token)",
    modes=PERFORMANCE,
    of_results=True,
)
def tokens_were_counted(logs: Logs) -> Iterator[str]:
    """LoadGen divides by tokens - 1: without counts the figure is 0 or overflows."""
    tpot = logs.detail.number("result_time_per_output_token_50.00_percentile_ns")
    if logs.scenario is not Scenario.OFFLINE and tpot is not None and not 0 < tpot < 1e15:
        yield f"the median time per output token is {tpot:g} ns: token counts were not reported"
