"""A line that is missing switches no check off: each single line of a good tree's logs is taken out once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config import Mode
from harness.loadgen.log import PREFIX, parse_detail
from harness.loadgen.rules import BOOK
from harness.loadgen.summary import parse_summary
from harness.submission.check.logs import logs_of
from harness.submission.check.tree import Tree, scenarios

MODES = (Mode.PERFORMANCE, Mode.ACCURACY, Mode.COMPLIANCE)
NOTHING_READS = {  # of LoadGen's build, and of how its own logging went; messages that it may or may not write
    "loadgen_build_date_local",
    "loadgen_build_date_utc",
    "loadgen_git_commit_date",
    "loadgen_git_log_message",
    "loadgen_file_sha1",
    "get_sut_name_duration_ns",
    "logger_swap_request_slots_retry_count",
    "logger_swap_request_slots_retry_retry_count",
    "logger_swap_request_slots_retry_reencounter_count",
    "logger_start_reading_entries_retry_count",
    "logger_tls_total_log_cas_fail_count",
    "logger_tls_total_swap_buffers_slot_retry_count",
    "requested_server_find_peak_qps_decimals_of_precision",
    "requested_server_find_peak_qps_boundary_step_size",
    "result_invalid_reason",
    "generic_message",
    "warning_generic_message",
}
HEADINGS = ("=", "MLPerf Results", "Additional Stats", "Test Parameters", "TTFT Early", "TPOT Early", " *")
MESSAGES = (
    "WARNING: sample_conc",
    "Generated samples",
    "Check the gen",
    "samples_per_query value",
    "1 warning",
    "No warn",
)
SWITCHES = (
    "accuracy_sample_count",
    "print_timestamps",
    "performance_issue_unique",
    "performance_issue_same",
    "performance_issue_same_index",
    "TPS w/o loadgen overhead",
)


def key_of(line: str) -> str:
    return str(json.loads(line.removeprefix(PREFIX))["key"])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["Offline", "Server", "Interactive", "SingleStream"])
def test_every_single_line_of_a_log(name: str, mode: Mode, both: Path, tmp_path: Path) -> None:
    found = [s for s in scenarios(Tree(both / "tree")) if s.name == name]
    logs = logs_of(found[0], mode)
    source = {Mode.PERFORMANCE: found[0].performance_path, Mode.ACCURACY: found[0].accuracy_path}
    path = source.get(mode, found[0].test06_log_path)
    assert not list(BOOK.breaches(logs))
    silent, tried, copy = set(), 0, tmp_path / "log.txt"
    lines = path.read_text().splitlines(keepends=True)
    for at, line in enumerate(lines):
        copy.write_text("".join(lines[:at] + lines[at + 1 :]))
        tried += 1
        if not any(rule.weight.spoils for rule, _ in BOOK.breaches(replace(logs, detail=parse_detail(copy)))):
            silent.add(key_of(line))
    assert tried > 60
    assert silent <= NOTHING_READS


@pytest.mark.parametrize("name", ["Offline", "Server", "SingleStream"])
def test_every_single_line_of_a_summary(name: str, both: Path, tmp_path: Path) -> None:
    """But for headings, messages, what is written twice, and limits of an Offline run, which has none."""
    scenario = next(s for s in scenarios(Tree(both / "tree")) if s.name == name)
    logs = logs_of(scenario, Mode.PERFORMANCE)
    lines = scenario.performance_path.with_name("mlperf_log_summary.txt").read_text().splitlines(keepends=True)
    labels = [line.partition(":")[0].strip() for line in lines]
    unread = {"ttft_latency (ns)", "tpot_latency (ns)"} if name == "Offline" else set()
    copy = tmp_path / "summary.txt"
    for at, line in enumerate(lines):
        copy.write_text("".join(lines[:at] + lines[at + 1 :]))
        said = any(True for _ in BOOK.breaches(replace(logs, summary=parse_summary(copy))))
        free = not line.strip() or "warning" in line or line.startswith((*HEADINGS, *MESSAGES, *SWITCHES))
        assert said or free or labels.count(labels[at]) > 1 or labels[at] in unread, line
