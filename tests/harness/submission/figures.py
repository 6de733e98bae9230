"""Ways to spoil the figures, times and lines of LoadGen's logs, beside those of ``mutations``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from harness.loadgen.log import DETAIL, parse_detail
from tests.harness.submission.runs import agree, edit_log, read_values
from tests.harness.submission.spoil import Spoiler

Row = tuple[str, str, Callable[[Spoiler], object]]
TTFT = "result_first_token_{}_latency_ns"
PARTS = ("min", "mean", "50.00_percentile", "90.00_percentile", "95.00_percentile", "97.00_percentile")


def scaled(spoiler: Spoiler, factor: float, *keys: str, name: str = "Server") -> None:
    """Multiply figures in both logs."""
    values = read_values(spoiler.log(name))
    spoiler.set({key: values[key] * factor for key in keys}, name)


def without(log: Path, key: str) -> None:
    edit_log(log, {}, drop=frozenset({key}))


def later(log: Path, by: timedelta) -> None:
    """The same test, at another time."""
    window = parse_detail(log).window
    assert window is not None
    begin, end = (f"{at + by:%m-%d-%Y %T}.{at.microsecond // 1000:03}" for at in window)
    edit_log(log, {"power_begin": begin, "power_end": end, "test_datetime": f"{window[0] + by:%FT%TZ}"})


def together(spoiler: Spoiler) -> None:
    """Interactive was measured while Server was."""
    ours, theirs = (parse_detail(spoiler.log(name)).window for name in ("Server", "Interactive"))
    assert ours and theirs
    later(spoiler.log("Interactive"), ours[0] - theirs[0] + timedelta(seconds=60))


def loaded_twice(spoiler: Spoiler) -> None:
    loaded = read_values(spoiler.log())["loaded_qsl_set"]
    edit_log(spoiler.log(), {"loaded_qsl_set": [loaded[0], *loaded[:-1]]})


def change(log: Path, **values: object) -> None:
    edit_log(log, values)
    agree(log.parent)


def test06(spoiler: Spoiler) -> Path:
    return spoiler.test06() / "performance" / "run_1" / DETAIL


RATES = ("result_scheduled_samples_per_sec", "result_completed_samples_per_sec", "result_completed_tokens_per_second")
FIGURES: tuple[Row, ...] = (
    ("every rate x 1.5", "results.figures", lambda s: scaled(s, 1.5, *RATES)),
    ("tokens/s x 1.5", "results.figures", lambda s: scaled(s, 1.5, RATES[2])),
    (
        "Offline: samples/s and tokens/s x 1.5",
        "results.figures",
        lambda s: scaled(s, 1.5, "result_samples_per_second", "result_tokens_per_second", name="Offline"),
    ),
    (
        "Offline: tokens/s x 1.5 alone, other outputs than Server's",
        "consistency.lengths",
        lambda s: scaled(s, 1.5, "result_tokens_per_second", name="Offline"),
    ),
    ("completed twice the scheduled", "results.figures", lambda s: scaled(s, 2, *RATES[1:])),
    ("another rate than asked for", "results.figures", lambda s: s.set({"effective_target_qps": 40})),
    ("a schedule of another length", "results.figures", lambda s: scaled(s, 0.9, "generated_query_duration")),
    ("TTFT of 1 ns", "results.order", lambda s: s.set({TTFT.format(part): 1 for part in PARTS})),
    ("p99 above the max", "results.order", lambda s: scaled(s, 2, "result_99.90_percentile_latency_ns")),
    ("a mean that no percentiles allow", "results.order", lambda s: scaled(s, 0.1, "result_mean_latency_ns")),
    (
        "VALID beside an unsuccessful early stopping",
        "results.verdict",
        lambda s: s.set({"early_stopping_ttft_result": " * Run unsuccessful."}),
    ),
    (
        "enough queries, with fewer than asked for",
        "results.verdict",
        lambda s: s.set({"effective_min_query_count": 20_000, "requested_min_query_count": 20_000}),
    ),
    ("min_duration is not what was asked for", "log.settings", lambda s: s.set({"requested_min_duration_ms": 1})),
    ("fewer queries at least than asked for", "log.settings", lambda s: change(s.log(), effective_min_query_count=1)),
    ("one sample was loaded twice", "log.settings", loaded_twice),
    ("a number is a text", "log.keys", lambda s: change(s.log(), generated_query_duration="600 s")),
    ("a switch is a number", "log.keys", lambda s: change(accuracy(s), requested_performance_issue_same=0)),
    ("a rate is a text", "results.keys", lambda s: change(s.log(), result_token_throughput="fast")),
    (
        "tokens/s over the issue of the queries: faster than the schedule",
        "results.figures",
        lambda s: scaled(s, 1.5, "result_token_throughput_with_loadgen_overhead"),
    ),
    ("a setting's line is missing", "log.keys", lambda s: without(s.log(), "requested_server_ttft_latency")),
    ("a line of the summary is missing", "log.summary", lambda s: summary_without(s, "99.00 percentile latency (ns)")),
    ("over before it began", "results.times", lambda s: change(s.log(), power_end="01-01-2020 00:00:00.000")),
    ("in the year 2099", "results.times", lambda s: later(s.log(), timedelta(days=27_000))),
    ("650 s, logged within a second", "results.times", lambda s: edit_log(s.log(), {}, last_ms=700.0)),
    ("the accuracy run in the year 2099", "results.times", lambda s: later(accuracy(s), timedelta(days=27_000))),
    ("the accuracy log lacks its seeds", "log.keys", lambda s: without(accuracy(s), "requested_qsl_rng_seed")),
    ("TEST06: completed twice the scheduled", "results.figures", lambda s: change(test06(s), **{RATES[1]: 1e6})),
    ("TEST06: a figure is missing", "results.keys", lambda s: without(test06(s), "result_mean_latency_ns")),
    ("two runs at the same time", "consistency.turns", together),
    ("two years between the runs", "consistency.turns", lambda s: later(s.log(), timedelta(days=-730))),
)


def accuracy(spoiler: Spoiler) -> Path:
    return spoiler.accuracy() / DETAIL


def summary_without(spoiler: Spoiler, label: str) -> None:
    path = spoiler.log().with_name("mlperf_log_summary.txt")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith(label)))
