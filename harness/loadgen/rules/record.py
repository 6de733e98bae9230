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
    """What to say of ``wanted`` lines that are not there, or have a value that LoadGen does not write: a rule that
    reads a number would pass over a text.
    """
    gone = [key for key in wanted if logs.detail.values.get(key) is None]
    if gone:
        more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
        yield f"LoadGen's log lacks {', '.join(gone[:3])}{more}"
    for key in (key for key in wanted if key not in gone):
        value = logs.detail.values[key]
        why = keys.why_not(key, value)
        if why and not (why == "is negative" and logs.detail.errors):  # log.errors has what spoils the figures
            yield f"{key} {why}: {str(value)[:40]!r}"


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
