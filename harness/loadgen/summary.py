"""LoadGen's mlperf_log_summary.txt, and whether it is of the same run as the detail log.

Source: mlcommons/inference, loadgen/results.cc LogSummary and test_settings_internal.cc LogSummary.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.loadgen.keys import FAMILIES, IN_SUMMARY, PERCENTILES
from harness.loadgen.log import DetailLog

LAST_LINE = re.compile(r"^(No errors|(\d+) ERRORS?) encountered", re.MULTILINE)  # logging.cc


@dataclass(frozen=True)
class SummaryLog:
    """The parsed summary: ``values`` by the label left of the colon, text as LoadGen wrote it; ``lines``: all of them
    in order, for Server's has one twice.

    ``errors``: how many the last line counts, None if that line is not there. ``exists``: the file holds anything.
    """

    values: dict[str, str]
    lines: tuple[tuple[str, str], ...] = ()
    errors: int | None = None
    exists: bool = False

    @property
    def validity(self) -> str | None:
        return self.values.get("Result is")


def parse_summary(path: Path) -> SummaryLog:
    """Read a summary log; empty if it is missing (an accuracy run's has no figures)."""
    lines: list[tuple[str, str]] = []
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        label, colon, value = line.partition(":")
        if colon and value.strip():
            lines.append((label.strip(), value.strip()))
    ending = LAST_LINE.search(text)
    errors = None if ending is None else int(ending[2] or 0)
    return SummaryLog(dict(reversed(lines)), lines=tuple(lines), errors=errors, exists=bool(text))


FIXED = {  # label -> key of the detail log
    "Samples per second": "result_samples_per_second",
    "Tokens per second": "result_tokens_per_second",
    "Completed samples per second": "result_completed_samples_per_sec",
    "Completed tokens per second": "result_completed_tokens_per_second",
    "Scheduled samples per second": "result_scheduled_samples_per_sec",
    "QPS w/ loadgen overhead": "result_qps_with_loadgen_overhead",
    "QPS w/o loadgen overhead": "result_qps_without_loadgen_overhead",
    "90.0th percentile latency (ns)": "result_90.00_percentile_latency_ns",
    "90.0th first token percentile latency (ns)": "result_first_token_90.00_percentile_latency_ns",
    "TPS w/ loadgen overhead": "result_token_throughput_with_loadgen_overhead",
    "Result is": "result_validity",
    "Performance constraints satisfied": "result_perf_constraints_met",
    "Min duration satisfied": "result_min_duration_met",
    "Min queries satisfied": "result_min_queries_met",
    "Early stopping satisfied": "early_stopping_met",
    "SUT name": "sut_name",
    "Scenario": "effective_scenario",
    "Mode": "effective_test_mode",
    "ttft_latency (ns)": "requested_server_ttft_latency",
    "tpot_latency (ns)": "requested_server_tpot_latency",
}
LATENCIES = {  # what is measured -> labels of min, max and mean, and of a percentile
    "latency": ("{} latency (ns)", "{} percentile latency (ns)"),
    "TTFT": ("{} First Token latency (ns)", "{} percentile first token latency (ns)"),
    "TPOT": ("{} Time per Output Token (ns)", "{} percentile time to output token (ns)"),
}
SETTINGS = ("samples_per_query", "target_qps", "max_async_queries", *IN_SUMMARY, "performance_sample_count")


def _pairs() -> Iterator[tuple[str, str]]:
    """Summary label -> detail key, for every figure that both logs hold."""
    yield from FIXED.items()
    for stat in ("Min", "Max", "Mean"):
        for what, (label, _) in LATENCIES.items():
            yield label.format(stat), FAMILIES[what][0].format(stat.lower())
    for p in PERCENTILES:
        for what, (_, label) in LATENCIES.items():
            yield label.format(p), FAMILIES[what][1].format(p)
    for setting in SETTINGS:
        yield setting.replace("_ms", " (ms)"), f"effective_{setting}"


PAIRS = tuple(_pairs())
KEYS = dict(PAIRS)


def compared(detail: DetailLog, summary: SummaryLog) -> list[tuple[str, str, Any]]:
    """``(label, summary text, detail value)`` of every figure that both logs hold."""
    return [
        (label, text, detail.values[KEYS[label]])
        for label, text in summary.lines
        if label in KEYS and KEYS[label] in detail.values
    ]


def disagreements(detail: DetailLog, summary: SummaryLog) -> list[str]:
    """Figures on which the two logs differ beyond their printed digits (the detail log has six, the summary may have
    two decimals)."""
    return [
        f"summary says {label}: {text}, the detail log {value}"
        for label, text, value in compared(detail, summary)
        if not _same(text, value)
    ]


def _same(text: str, value: Any) -> bool:
    if isinstance(value, bool | str):
        return text == in_words(value)
    try:
        rounded = re.search(r"[.e]", f"{text}{value}")
        return abs(float(text) - value) <= max(0.006, 1e-5 * abs(value)) if rounded else text == str(value)
    except (TypeError, ValueError):
        return False


def in_words(value: Any) -> str:
    """A figure of the detail log as the summary has it."""
    return ("Yes" if value else "NO") if isinstance(value, bool) else str(value)


def missing(detail: DetailLog, summary: SummaryLog) -> list[str]:
    """Labels of figures that the detail log of a performance run has and the summary lacks, though LoadGen writes both.

    Releases before 6 have other labels for the mean times per output token.
    """
    scenario = detail.text("effective_scenario")
    of_scenario = {
        "90.0th percentile latency (ns)": scenario == "SingleStream",
        "90.0th first token percentile latency (ns)": scenario == "SingleStream",
        "TPS w/ loadgen overhead": scenario == "SingleStream",
        "Completed tokens per second": scenario == "Server",
    }
    per_token = [f"{part} Time per Output Token (ns)" for part in ("Min", "Max", "Mean")]
    older = not any(label in summary.values for label in per_token)
    return [
        label
        for label, key in PAIRS
        if key in detail.values
        and label not in summary.values
        and of_scenario.get(label, True)
        and not (older and label in per_token)
    ]
