"""How the rates, durations and token counts of one log follow from each other.

Each holds on every log that LoadGen wrote, to the six digits that its rates may have.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import sqrt

from harness.loadgen.log import DetailLog
from harness.loadgen.rules.base import SUBMISSION
from harness.loadgen.rules.figures import MEASURED
from harness.loadgen.rules.logs import BOOK, Logs
from harness.loadgen.rules.sources import LOADGEN

SIX_DIGITS = 2e-5  # of the logged rates
MS = 2e-3  # seconds; the window is logged to the ms
GAPS, SIGMAS = 40.0, 6.0  # of an exponential distribution, that no honest schedule exceeds
ZONES = timedelta(hours=26)  # of all the world
CLOCKS = timedelta(days=1)  # by which a machine's clock may be ahead


@BOOK.rule(
    "results.figures",
    source=f"{LOADGEN}/results.cc: how the figures follow from each other",
    breaks=SUBMISSION,
    modes=MEASURED,
    of_results=True,
)
def figures_follow_from_each_other(logs: Logs) -> Iterator[str]:
    if logs.detail.errors or not logs.detail.sample_count:
        return  # a sample without token counts spoils the figures: log.errors has it
    by_scenario = {"Offline": _offline, "Server": _server, "SingleStream": _singlestream}
    if logs.ran in by_scenario:
        yield from by_scenario[logs.ran](logs.detail, logs.detail.sample_count)
        yield from _tokens(logs, logs.detail.sample_count)


def _offline(log: DetailLog, count: int) -> Iterator[str]:
    if longest := log.number("result_max_latency_ns"):
        yield from _equal(log, "result_samples_per_second", count * 1e9 / longest, "samples / max latency")
    asked = log.number("effective_samples_per_query")
    if asked is not None and count < asked:
        yield f"{count} samples were generated, effective_samples_per_query is {asked:g}"


def _singlestream(log: DetailLog, count: int) -> Iterator[str]:
    mean, longest = (log.number(f"result_{part}_latency_ns") for part in ("mean", "max"))
    if mean:
        yield from _equal(log, "result_qps_without_loadgen_overhead", 1e9 / mean, "1 / mean latency")
    issued = log.duration_s
    if mean and longest and issued is not None and (count * mean - longest) / 1e9 > issued * (1 + SIX_DIGITS) + MS:
        yield f"the last query was issued after {issued:,.3f} s; those before it took longer ({count} x mean latency)"
    generated = log.number("generated_query_count")
    if generated is not None and generated < count:
        yield f"{count} queries were judged, {generated:g} were generated"
    estimate, least, most = (
        log.number(key)
        for key in (
            "early_stopping_latency_ss",
            "result_first_token_90.00_percentile_latency_ns",
            "result_first_token_max_latency_ns",
        )
    )
    if estimate and least is not None and most is not None and not least <= estimate <= most:
        yield f"early_stopping_latency_ss is {estimate:g} ns, not between the TTFT's p90 and its max"


def _server(log: DetailLog, count: int) -> Iterator[str]:
    """Queries follow a schedule of exponential gaps; the last one is done its latency after it was due."""
    scheduled, completed = (log.number(f"result_{name}_samples_per_sec") for name in ("scheduled", "completed"))
    if count < 2 or not scheduled or not completed:
        return
    due, done = (count - 1) / scheduled, (count - 1) / completed
    slack = SIX_DIGITS * done + MS / 10
    least, most = (log.number(f"result_{part}_latency_ns") for part in ("min", "max"))
    if least is not None and most is not None and not least / 1e9 - slack <= done - due <= most / 1e9 + slack:
        yield (
            f"the last query was due after {due:,.3f} s and done after {done:,.3f} s, "
            f"which no latency between {least:g} and {most:g} ns explains"
        )
    rate, generated = log.number("effective_target_qps"), log.number("generated_query_duration")
    if rate and abs(due * rate / (count - 1) - 1) > SIGMAS / sqrt(count - 1):
        yield f"{scheduled:g} queries/s were scheduled, effective_target_qps is {rate:g}"
    if rate and generated is not None and not due - slack <= generated / 1e9 <= due + GAPS / rate + slack:
        yield f"generated_query_duration is {generated / 1e9:,.3f} s, the schedule took {due:,.3f} s"
    yield from _overhead(log, scheduled, completed)
    target, over = log.number("effective_target_latency_ns"), log.number("result_overlatency_query_count")
    if over is not None and (over > count or (target == 0 and over != count)):
        yield f"result_overlatency_query_count is {over:g} of {count} queries, with a target of {target or 0:g} ns"


def _overhead(log: DetailLog, scheduled: float, completed: float) -> Iterator[str]:
    """The last query was issued when it was due or later, and before it was done."""
    key, rate = "result_token_throughput_with_loadgen_overhead", log.number("result_completed_tokens_per_second")
    found = log.number(key)
    if found is None or not rate:
        return
    most = rate * scheduled / completed
    if not rate * (1 - 2 * SIX_DIGITS) <= found <= most * (1 + 2 * SIX_DIGITS):
        yield f"{key} is {found:g}, not between {rate:g}, to the last answer, and {most:g}, to when its query was due"


def _tokens(logs: Logs, count: int) -> Iterator[str]:
    """Tokens of a sample, from each rate: no more than are generated, and the same from all."""
    most, found = logs.round.max_new_tokens + 2, _tokens_a_sample(logs.detail, count)
    for key, value in found.items():
        if value > most:
            yield f"{key} makes {value:.1f} tokens a sample, more than {logs.round.max_new_tokens}"
    if len(found) < 2:
        return
    mean = logs.detail.number("result_mean_latency_ns") or 1.0
    (key, first), *others = found.items()
    for other, value in others:
        if abs(value / first - 1) > 3 * SIX_DIGITS + 2 / mean:
            yield f"{key} makes {first:.4f} tokens a sample, {other} {value:.4f}"


def _tokens_a_sample(log: DetailLog, count: int) -> dict[str, float]:
    """By the rate that it follows from. The issue of the last query, over which LoadGen takes one of them, is logged in
    SingleStream only.
    """
    rate, samples, mean, each = (
        log.number(key)
        for key in (
            "result_completed_tokens_per_second",
            "result_completed_samples_per_sec",
            "result_mean_latency_ns",
            "result_token_throughput",
        )
    )
    found: dict[str, float] = {}
    if log.text("effective_scenario") == "Offline":
        rate, samples = log.number("result_tokens_per_second"), log.number("result_samples_per_second")
        return {"result_tokens_per_second": rate / samples} if rate and samples else {}
    if rate and samples:
        found["result_completed_tokens_per_second"] = rate * (count - 1) / samples / count
    if each and mean:
        found["result_token_throughput"] = each * mean
    issued, overall = log.number("result_qps_with_loadgen_overhead"), "result_token_throughput_with_loadgen_overhead"
    if issued and (rate := log.number(overall)):
        found[overall] = rate * (count - 1) / issued / count
    return found


def _equal(log: DetailLog, key: str, wanted: float, what: str) -> Iterator[str]:
    found = log.number(key)
    if found is not None and abs(found / wanted - 1) > SIX_DIGITS:
        yield f"{key} is {found:g}, but {what} makes it {wanted:g}"


@BOOK.rule(
    "results.times",
    source=f"{LOADGEN}/loadgen.cc (power_begin, power_end: from the start to the last completion)",
    breaks=SUBMISSION,
    of_results=True,
)
def the_window_is_that_of_the_test(logs: Logs) -> Iterator[str]:
    """LoadGen logs begin and end for the power meter, by the clock of its figures; and each line has its time."""
    log, window = logs.detail, logs.detail.window
    if window is None:
        yield "power_begin and power_end do not tell when the test was"
        return
    took = (window[1] - window[0]).total_seconds()
    if took < 0:
        yield f"the test ended ({log.text('power_end')}) before it began ({log.text('power_begin')})"
    if window[1] > datetime.now(UTC) + CLOCKS:
        yield f"the test ended at {log.text('power_end')}, which is yet to come"
    if (said := _said_day(log)) is None or abs(window[0] - said) > ZONES:
        yield f"test_datetime is {log.text('test_datetime')}, power_begin {log.text('power_begin')}"
    if took > log.last_ms / 1e3 + 2 * MS:
        yield f"the test took {took:,.3f} s, the last line of the log was written after {log.last_ms / 1e3:,.3f} s"
    least, most = _bounds(log, logs.ran)
    if not least - MS - SIX_DIGITS * least <= took <= most + MS + SIX_DIGITS * took:
        yield f"{took:,.3f} s lie between power_begin and power_end; the figures are of {least:,.3f} s"


def _said_day(log: DetailLog) -> datetime | None:
    """LoadGen writes the local time here, and calls it UTC."""
    try:
        return datetime.strptime(log.text("test_datetime") or "", "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _bounds(log: DetailLog, ran: str) -> tuple[float, float]:
    """Seconds from the start to the last completion: least and most, by the figures."""
    longest, mean, count = log.number("result_max_latency_ns"), log.number("result_mean_latency_ns"), log.sample_count
    last = log.duration_s
    if longest is None or last is None or count is None or mean is None:
        return 0.0, float("inf")
    if ran == "Offline":
        return longest / 1e9, longest / 1e9
    completed = log.number("result_completed_samples_per_sec")
    done = (count - 1) / completed if completed else last
    return (count * mean / 1e9 if ran == "SingleStream" else done), last + longest / 1e9
