"""LoadGen's own record of a run: mlperf_log_detail.txt. The summary: ``harness.loadgen.summary``.

Every figure that this project reports comes from here. Damaged lines are reported, never skipped in silence: a log
that was cut off must not pass for a clean one. Keys: mlcommons/inference, loadgen/results.cc LogDetail.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from mlperf_llama_base import typed

PREFIX = ":::MLLOG "
DETAIL, SUMMARY, ACCURACY = "mlperf_log_detail.txt", "mlperf_log_summary.txt", "mlperf_log_accuracy.json"
POWER_TIME = "%m-%d-%Y %H:%M:%S.%f"  # utils.cc, DateTimeStringForPower
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # how surrogateescape shows a byte that cannot be decoded
PERCENTILES = {"p50": "50.00", "p90": "90.00", "p95": "95.00", "p97": "97.00", "p99": "99.00", "p99_9": "99.90"}


class _Meta(msgspec.Struct):
    is_error: bool
    is_warning: bool


class _Line(msgspec.Struct):
    key: str
    value: Any
    metadata: _Meta
    time_ms: float = 0.0


@dataclass(frozen=True, kw_only=True)
class DetailLog:
    """The parsed detail log.

    ``values``: the last value of each key; ``repeated``: keys that came more than once. ``errors``, ``warnings``: their
    texts in order. ``messages``: generic messages. ``damaged``: one line for each log line that could not be read.
    ``exists``: the file is there; ``lines``: readable ones. ``last_ms``: the latest time of a line, by LoadGen's clock.
    """

    exists: bool
    lines: int = 0
    last_ms: float = 0.0
    values: dict[str, Any] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def number(self, key: str) -> float | None:
        """The value of ``key`` if it is a number (LoadGen's booleans are none)."""
        value = self.values.get(key)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    def integer(self, key: str) -> int | None:
        value = self.number(key)
        return None if value is None else int(value)

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    def flag(self, key: str) -> bool | None:
        value = self.values.get(key)
        return value if isinstance(value, bool) else None

    @property
    def error_count(self) -> int:
        """``num_errors`` where LoadGen wrote it (performance runs), or the error lines, whichever is more."""
        return max(self.integer("num_errors") or 0, len(self.errors))

    @property
    def finished(self) -> bool:
        """LoadGen wrote the lines that end a test: the verdict, or in accuracy mode the end of issuing."""
        accuracy = self.text("effective_test_mode") == "AccuracyOnly"
        return ("power_end" if accuracy else "num_errors") in self.values

    @property
    def audit_config_used(self) -> bool:
        """loadgen/loadgen.cc warns when it takes its settings from an audit file."""
        return any("Found Audit Config file" in text for text in self.warnings)

    @property
    def loadgen_version(self) -> tuple[int, ...] | None:
        """``(6, 0, 17)``, from ``"6.0.17 @ d6147c7eb7"``."""
        match = re.match(r"(\d+(?:\.\d+)*)", self.text("loadgen_version") or "")
        return tuple(int(part) for part in match[1].split(".")) if match else None

    @property
    def window(self) -> tuple[datetime, datetime] | None:
        """When the test began and when its last sample was completed, in UTC to the ms (loadgen.cc, for the power
        meter); the time between is that of a steady clock. None if a line is missing or no time.
        """
        try:
            begin, end = (datetime.strptime(self.text(key) or "", POWER_TIME) for key in ("power_begin", "power_end"))
        except ValueError:
            return None
        return begin.replace(tzinfo=UTC), end.replace(tzinfo=UTC)

    @property
    def sample_count(self) -> int | None:
        """Samples that a performance run judged: queries times samples per query (1 except in Offline)."""
        queries, each = self.integer("result_query_count"), self.integer("generated_samples_per_query")
        return None if queries is None or each is None else queries * each

    @property
    def token_count(self) -> float | None:
        """Tokens that a performance run's rate was computed from, to the six digits of the logged rates (results.cc).

        None in SingleStream, whose log does not tell the time that belongs to its rate.
        """
        scenario, count = self.text("effective_scenario"), self.sample_count
        if scenario == "Offline":
            rate, latest = self.number("result_tokens_per_second"), self.number("result_max_latency_ns")
            return None if rate is None or latest is None else rate * latest / 1e9
        tokens, samples = (
            self.number("result_completed_tokens_per_second"),
            self.number("result_completed_samples_per_sec"),
        )
        if scenario != "Server" or tokens is None or not samples or count is None:
            return None
        return (count - 1) * tokens / samples

    @property
    def duration_s(self) -> float | None:
        """The time that LoadGen holds against min_duration (loadgen/results.cc MinDurationMet).

        Offline: the last completion. Server: the last scheduled query. SingleStream: the last issued one. The latter
        two are not logged themselves; they follow from the logged rates, which have six digits.
        """
        scenario, count = self.text("effective_scenario"), self.integer("result_query_count")
        if scenario == "Offline":
            latest = self.number("result_max_latency_ns")
            return None if latest is None else latest / 1e9
        key = {"Server": "result_scheduled_samples_per_sec", "SingleStream": "result_qps_with_loadgen_overhead"}
        rate = self.number(key.get(scenario or "", ""))
        return (count - 1) / rate if rate and count else None


def parse_detail(path: Path) -> DetailLog:
    """Read a detail log. Never raises for its content: what cannot be read is listed in ``damaged``."""
    if not path.is_file():
        return DetailLog(exists=False)
    log = DetailLog(exists=True)
    decode = msgspec.json.Decoder(typed.ready(_Line)).decode
    read, last_ms = 0, 0.0
    with path.open(encoding="utf-8", errors="surrogateescape") as file:
        for number, text in enumerate(file, 1):
            if not text.strip():
                if number == 1:  # the official checker stops there
                    log.damaged.append("line 1 is empty")
                continue
            if NOT_UTF8.search(text):
                log.damaged.append(f"line {number} is not UTF-8: {text[:80].strip()!r}")
                continue
            if not text.startswith(PREFIX):
                log.damaged.append(f"line {number} does not start with {PREFIX.strip()}: {text[:60].strip()!r}")
                continue
            try:
                line = decode(text[len(PREFIX) :])
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                kind = "is cut off" if not text.endswith("\n") else f"is not readable ({error})"
                log.damaged.append(f"line {number} {kind}: {text[:80].strip()!r}")
                continue
            read += 1
            last_ms = max(last_ms, line.time_ms)
            _take(log, line)
    return replace(log, lines=read, last_ms=last_ms)


def _take(log: DetailLog, line: _Line) -> None:
    text = line.value if isinstance(line.value, str) else repr(line.value)
    if line.metadata.is_error:
        log.errors.append(text)
    elif line.metadata.is_warning:
        log.warnings.append(text)
    elif line.key == "generic_message":
        log.messages.append(text)
    else:
        if line.key in log.values and line.key not in log.repeated:
            log.repeated.append(line.key)
        log.values[line.key] = line.value
