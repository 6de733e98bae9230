"""What was asked for is what took effect: LoadGen's settings follow from each other in the one way of its constructor,
and the queries from the settings.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.config import Mode
from harness.loadgen import keys
from harness.loadgen.log import DetailLog
from harness.loadgen.rules.base import SUBMISSION
from harness.loadgen.rules.logs import BOOK, Logs
from harness.loadgen.rules.sources import LOADGEN

SIX_DIGITS = 1e-5  # of a logged rate or latency that is no whole number
OFFLINE_SLACK, SINGLESTREAM_SLACK = 1.1, 2.0  # kSlack
OFFLINE_PERCENTILE = 0.99


@BOOK.rule(
    "log.settings",
    source=f"{LOADGEN}/test_settings_internal.cc (TestSettingsInternal) and loadgen.cc (GenerateQueries)",
    breaks=SUBMISSION,
    of_results=True,
)
def what_was_asked_for_took_effect(logs: Logs) -> Iterator[str]:
    for name in keys.COPIED:
        asked, had = (logs.detail.values.get(f"{which}_{name}") for which in ("requested", "effective"))
        if asked is not None and had is not None and asked != had:
            yield f"requested_{name} is {asked}, effective_{name} {had}: LoadGen copies the one to the other"
    log, ran = logs.detail, logs.ran
    for key, wanted in (*_of_scenario(log, ran), *_counts(log, ran), *_samples(log), *_schedule(log, ran)):
        found = log.number(key)
        if found is not None and wanted is not None and abs(found - wanted) > SIX_DIGITS * abs(wanted):
            yield f"{key} is {found:g}; from what was asked for it would be {wanted:g}"
    loaded, has = (log.number(f"{key}_count") for key in ("effective_performance_sample", "qsl_reported_total"))
    if loaded is not None and has is not None and loaded > has:
        yield f"effective_performance_sample_count is {loaded:g}, the library has {has:g} (qsl_reported_total_count)"
    yield from _loaded(log, accuracy=logs.mode is Mode.ACCURACY)


def _of_scenario(log: DetailLog, ran: str) -> Iterator[tuple[str, float | None]]:
    """Rate and limits: each scenario has its own."""
    asked, server = log.number, ran == "Server"
    expected = asked("requested_single_stream_expected_latency_ns")
    rates = {
        "Offline": asked("requested_offline_expected_qps"),
        "Server": asked("requested_server_target_qps"),
        "SingleStream": 1e9 / expected if expected else None,
    }
    percentiles = {
        "Offline": OFFLINE_PERCENTILE,
        "Server": asked("requested_server_target_latency_percentile"),
        "SingleStream": asked("requested_single_stream_target_latency_percentile"),
    }
    yield "effective_target_qps", rates.get(ran)
    yield "effective_target_latency_ns", asked("requested_server_target_latency_ns") if server else 0
    yield "effective_target_latency_percentile", percentiles.get(ran)
    yield "effective_max_async_queries", asked("requested_server_max_async_queries") if server else 1
    yield "effective_target_duration_ms", 0 if ran == "Offline" else asked("requested_min_duration_ms")


def _counts(log: DetailLog, ran: str) -> Iterator[tuple[str, float | None]]:
    """Queries, and samples of each: Offline has one query, long enough for the time that was asked for."""
    queries, each = (log.number(f"effective_{key}") for key in ("min_query_count", "samples_per_query"))
    least, asked_s = log.number("requested_min_query_count"), (log.number("requested_min_duration_ms") or 0.0) / 1e3
    rate = log.number("effective_target_qps") or 0.0
    unique = log.flag("requested_performance_issue_unique") is True  # validity.issue has it
    if ran == "Offline" and least is not None and not unique:
        yield "effective_samples_per_query", max(least, OFFLINE_SLACK * asked_s * rate // 1)
    elif ran != "Offline":
        yield "effective_samples_per_query", 1
    if ran == "SingleStream" and log.flag("requested_sample_concatenate_permutation"):
        yield "effective_min_query_count", _whole_rounds(log, max(least or 0.0, SINGLESTREAM_SLACK * asked_s * rate))
    else:
        yield "effective_min_query_count", 1 if ran == "Offline" else least
    yield "effective_min_sample_count", None if queries is None or each is None else queries * each


def _whole_rounds(log: DetailLog, least: float) -> float | None:
    """``least`` queries, filled up: another whole round where they are whole rounds already. The one of two neighbours
    that was logged, where six digits do not tell them apart.
    """
    library = log.number("qsl_reported_performance_count")
    if not library:
        return None
    either = [library * (bound // library + 1) for bound in (least * (1 - SIX_DIGITS), least, least * (1 + SIX_DIGITS))]
    found = log.number("effective_min_query_count")
    return found if found in either else either[1]


def _samples(log: DetailLog) -> Iterator[tuple[str, float | None]]:
    """An override, or what the library says. Releases before 6 do not log the samples of an accuracy run."""
    for kind, library in (("performance", "performance"), ("accuracy", "total")):
        override = log.number(f"requested_{kind}_sample_count_override")
        if override is not None:
            yield f"effective_{kind}_sample_count", override or log.number(f"qsl_reported_{library}_count")


def _schedule(log: DetailLog, ran: str) -> Iterator[tuple[str, float | None]]:
    """Only Server's gaps are drawn at random: ``results.figures`` has them."""
    count, rate = log.number("generated_query_count"), log.number("effective_target_qps")
    if ran != "Offline":
        yield "generated_samples_per_query", 1
    if ran != "Server" and count and rate:
        yield "generated_query_duration", 1e9 * count / rate


def _loaded(log: DetailLog, *, accuracy: bool) -> Iterator[str]:
    """Every sample that the test is about was loaded, once. An accuracy run may load them in parts."""
    loaded, fits, library = (
        log.values.get("loaded_qsl_set"),
        log.integer("effective_performance_sample_count"),
        log.integer("qsl_reported_total_count"),
    )
    wanted = log.integer("effective_accuracy_sample_count") or library if accuracy else fits
    if not isinstance(loaded, list) or not wanted or not fits or not library or wanted > min(fits, library):
        return
    known = {index for index in loaded if isinstance(index, int) and 0 <= index < library}
    if len(loaded) != wanted or len(known) != wanted:
        yield f"loaded_qsl_set holds {len(loaded)} samples, {len(known)} of them different; it would be {wanted}"
