"""LoadGen's record of the test is whole, of one test, and of the test that was meant; and nothing went wrong in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from harness.config import Mode
from harness.loadgen import keys
from harness.loadgen.log import DETAIL, SUMMARY
from harness.loadgen.rules.base import SUBMISSION
from harness.loadgen.rules.logs import BOOK, EVERY_MODE, Logs
from harness.loadgen.rules.sources import LOADGEN, PERFORMANCE_CHECK, POLICIES, RULES
from harness.loadgen.summary import disagreements, missing


@BOOK.rule("log.complete", source=f"{LOADGEN}/results.cc (LogDetail); {POLICIES}, Logging requirements")
def complete(logs: Logs) -> Iterator[str]:
    """The detail log can be read to its last line, and ends as a finished test's does."""
    if not logs.detail.lines:
        yield f"LoadGen's {DETAIL} is empty: the test did not end"
    elif not logs.detail.finished:
        yield f"LoadGen's {DETAIL} has no end: the test did not finish, or the log was cut off"
    for line in logs.detail.damaged[:3]:
        yield f"LoadGen's {DETAIL} is damaged: {line}"


@BOOK.rule(
    "log.keys",
    source=f"{LOADGEN}/test_settings_internal.cc (LogAllSettings) and loadgen.cc",
    breaks=SUBMISSION,
    of_results=True,
)
def every_setting_is_there(logs: Logs) -> Iterator[str]:
    """A line that is missing must not switch off the rules that read it. Releases before 6 do not log the samples of an
    accuracy run, but who logs what was asked for logs what took effect.
    """
    pair = ("requested_accuracy_sample_count_override", "effective_accuracy_sample_count")
    wanted = [*keys.settings(logs.ran), *(pair if set(pair) & logs.detail.values.keys() else ())]
    yield from lacking(logs, wanted)


def lacking(logs: Logs, wanted: list[str]) -> Iterator[str]:
    """What to say of ``wanted`` lines that are not there."""
    gone = [key for key in wanted if logs.detail.values.get(key) is None]
    if gone:
        more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
        yield f"LoadGen's log lacks {', '.join(gone[:3])}{more}"


@BOOK.rule(
    "log.settings",
    source=f"{LOADGEN}/test_settings_internal.cc: copied from the one to the other",
    breaks=SUBMISSION,
    of_results=True,
)
def what_was_asked_for_took_effect(logs: Logs) -> Iterator[str]:
    for name in keys.COPIED:
        asked, had = (logs.detail.values.get(f"{which}_{name}") for which in ("requested", "effective"))
        if asked is not None and had is not None and asked != had:
            yield f"requested_{name} is {asked}, effective_{name} {had}: LoadGen copies the one to the other"
    loaded, has = (logs.detail.number(f"{key}_count") for key in ("effective_performance_sample", "qsl_reported_total"))
    if loaded is not None and has is not None and loaded > has:
        yield f"effective_performance_sample_count is {loaded:g}, the library has {has:g} (qsl_reported_total_count)"
    if logs.ran != "Offline" and (each := logs.detail.number("effective_samples_per_query")) not in (None, 1):
        yield f"effective_samples_per_query is {each:g} in {logs.ran}, where it is 1"
    rate, expected = _rates(logs)
    if rate is not None and expected is not None and abs(rate - expected) > 1e-5 * expected:
        yield f"effective_target_qps is {rate:g}; from what was asked for it would be {expected:g}"


def _rates(logs: Logs) -> tuple[float | None, float | None]:
    """The rate in effect, and the one that follows from what was asked for."""
    number = logs.detail.number
    asked = {
        "Offline": number("requested_offline_expected_qps"),
        "Server": number("requested_server_target_qps"),
        "SingleStream": 1e9 / (number("requested_single_stream_expected_latency_ns") or float("nan")),
    }
    return number("effective_target_qps"), asked.get(logs.ran)


@BOOK.rule("log.one-run", source=f"{RULES}, LoadGen Operation: a log is that of one run")
def one_run(logs: Logs) -> Iterator[str]:
    """LoadGen writes each figure once."""
    repeated = logs.detail.repeated
    if repeated:
        shown = ", ".join(repeated[:3])
        yield f"{len(repeated)} keys appear more than once ({shown}): this is more than one run's log"


@BOOK.rule("log.errors", source=f"{PERFORMANCE_CHECK} and accuracy_check.py (loadgen_errors_check)")
def no_errors(logs: Logs) -> Iterator[str]:
    """Error lines do not make LoadGen say INVALID, yet each is one (the official checker ignores some of them)."""
    counted = Counter(logs.detail.errors)
    for text, count in counted.most_common(5):
        yield f"LoadGen error{f' ({count} times)' if count > 1 else ''}: {' '.join(text.split())}"
    if len(counted) > 5 or logs.detail.error_count > len(logs.detail.errors):
        yield f"LoadGen counted {logs.detail.error_count} errors in total: see {DETAIL}"


@BOOK.rule("log.mode", source=f"{RULES}, LoadGen Operation: performance and accuracy are separate runs")
def mode(logs: Logs) -> Iterator[str]:
    """TEST06 is a performance run."""
    wanted = "AccuracyOnly" if logs.mode is Mode.ACCURACY else "PerformanceOnly"
    if (found := logs.detail.text("effective_test_mode")) != wanted:
        yield f"LoadGen ran {found}, not {wanted} (effective_test_mode)"


@BOOK.rule("log.audit", source=f"{LOADGEN}/loadgen.cc (audit.config)", modes=EVERY_MODE - {Mode.COMPLIANCE})
def no_audit_config(logs: Logs) -> Iterator[str]:
    """LoadGen takes any audit.config in its working directory; only a compliance run may have one."""
    if logs.detail.audit_config_used:
        yield "LoadGen took its settings from an audit file, which only a compliance run may: remove audit.config"


@BOOK.rule("log.scenario", source=f"{PERFORMANCE_CHECK} (inferred_check)")
def scenario(logs: Logs) -> Iterator[str]:
    found, wanted = logs.detail.text("effective_scenario"), logs.scenario.loadgen_name
    if found != wanted and found not in logs.accepted:
        yield f"LoadGen ran {found}, not {wanted} (effective_scenario)"


@BOOK.rule(
    "log.summary",
    source=f"{LOADGEN}/results.cc (LogSummary); {LOADGEN}/logging.cc (the last lines)",
    about=SUMMARY,
)
def summary(logs: Logs) -> Iterator[str]:
    """The summary is whole and of the same run as the detail log; the official checker does not read it."""
    found, counted = logs.summary.errors, logs.detail.error_count
    if found is None:
        yield f"LoadGen's {SUMMARY} lacks its last line (how many errors were encountered): it was cut off"
    elif found != counted:
        yield f"LoadGen's logs are not of one run: the summary counts {found} errors, the detail log has {counted}"
    performance = logs.detail.text("effective_test_mode") == "PerformanceOnly"
    if performance and logs.summary.validity is None:
        yield f"LoadGen's {SUMMARY} holds no verdict: it is not that of a performance run"
    elif performance and (gone := missing(logs.detail, logs.summary)):
        more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
        yield f"LoadGen's {SUMMARY} lacks {', '.join(gone[:3])}{more}: it is not whole"
    for line in disagreements(logs.detail, logs.summary)[:3]:
        yield f"LoadGen's logs are not of one run: {line}"
