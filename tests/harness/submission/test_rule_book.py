"""Every rule of the book is broken once, and the gate and the tree checker say the same of the same logs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.config import Mode, Scenario
from harness.loadgen.log import ACCURACY, DETAIL, SUMMARY
from harness.loadgen.rules import BOOK, Breaks, LogRule
from harness.rounds import ROUND, Limits
from harness.rundir.record import Evidence
from harness.rundir.result import Reason
from harness.rundir.scores import Accuracy
from harness.submission.check import Severity, check_submission
from harness.submission.check.base import TreeFinding
from harness.verdict.gate import judge, logs_of
from tests.harness.submission.runs import add_message, agree, edit_log
from tests.harness.submission.spoil import Spoiler, ids

MS = 1_000_000
RULES = {rule.id: rule for rule in BOOK}
Break = Callable[[Path], object]
SERVER, INTERACTIVE, OFFLINE = Scenario.SERVER, Scenario.INTERACTIVE, Scenario.OFFLINE
PERFORMANCE, ACCURATE, COMPLIANT = Mode.PERFORMANCE, Mode.ACCURACY, Mode.COMPLIANCE


def log(**values: Any) -> Break:
    """Change both logs."""

    def apply(logs: Path) -> None:
        edit_log(logs / DETAIL, {name.replace("P99", "99.00"): value for name, value in values.items()})
        agree(logs)

    return apply


def without(key: str) -> Break:
    """Take one line out of the detail log."""

    def apply(logs: Path) -> None:
        lines = (logs / DETAIL).read_text().splitlines(keepends=True)
        (logs / DETAIL).write_text("".join(line for line in lines if f'"{key}"' not in line))

    return apply


def scores(**changes: Any) -> Break:
    def apply(logs: Path) -> None:
        path = logs / "accuracy.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return apply


def twice(logs: Path) -> None:
    """One key a second time, with another value; the log stays readable."""
    lines = (logs / DETAIL).read_text().splitlines(keepends=True)
    again = next(line for line in lines if '"effective_accuracy_sample_count"' in line)
    lines.insert(-1, again.replace("13368", "5000"))
    (logs / DETAIL).write_text("".join(lines))


def earlier_last_line(logs: Path) -> None:
    """What was logged while a long test is said to have run was logged within a second."""
    edit_log(logs / DETAIL, {}, last_ms=700.0)


def audited(logs: Path) -> None:
    add_message(logs / DETAIL, "Found Audit Config file (audit.config).", error=False)


def no_audit(logs: Path) -> None:
    (logs / DETAIL).write_text((logs / DETAIL).read_text().replace("Found Audit Config file", "-"))


def output(*tokens: int, **changes: int) -> Break:
    """Replace the first logged output."""

    def apply(logs: Path) -> None:
        entries = json.loads((logs / ACCURACY).read_text())
        entries[0] |= {"data": ids(*tokens), "token_count": len(tokens)} | changes
        if "token_data" in entries[0]:
            entries[0]["token_data"] = ids(tokens[0])
        (logs / ACCURACY).write_text(json.dumps(entries))

    return apply


two_end_tokens = output(5, 128009, 128009)


def one_sample(logs: Path) -> None:
    entries = json.loads((logs / ACCURACY).read_text())
    (logs / ACCURACY).write_text(json.dumps([dict(entry, qsl_idx=3) for entry in entries]))


EXAMPLES: dict[str, list[tuple[Scenario, Mode, Break]]] = {
    "log.complete": [
        (SERVER, PERFORMANCE, lambda logs: (logs / DETAIL).write_text((logs / DETAIL).read_text()[:-200])),
        (SERVER, ACCURATE, lambda logs: (logs / DETAIL).write_text((logs / DETAIL).read_text()[:-200])),
    ],
    "log.one-run": [(OFFLINE, ACCURATE, twice), (SERVER, PERFORMANCE, twice)],
    "log.errors": [
        (SERVER, mode, lambda logs: add_message(logs / DETAIL, "something broke", error=True)) for mode in Mode
    ],
    "log.mode": [
        (SERVER, PERFORMANCE, log(effective_test_mode="AccuracyOnly")),
        (OFFLINE, ACCURATE, log(effective_test_mode="SubmissionRun")),
    ],
    "log.audit": [(SERVER, PERFORMANCE, audited), (OFFLINE, ACCURATE, audited)],
    "log.scenario": [(OFFLINE, PERFORMANCE, log(effective_scenario="MultiStream"))],
    "log.summary": [
        (SERVER, PERFORMANCE, lambda logs: (logs / SUMMARY).write_text((logs / SUMMARY).read_text()[:-60])),
        (SERVER, PERFORMANCE, lambda logs: edit_log(logs / DETAIL, {"result_min_latency_ns": 1})),
    ],
    "validity.loadgen": [(SERVER, mode, log(loadgen_version="5.1.3 @ 0123456789")) for mode in Mode],
    "validity.altered": [(SERVER, mode, log(loadgen_git_status_message=" M logging.cc\n")) for mode in Mode],
    "validity.no-git": [(SERVER, PERFORMANCE, log(loadgen_git_status_message="NA"))],
    "performance.seeds": [(SERVER, mode, log(effective_sample_index_rng_seed=1)) for mode in Mode],
    "performance.token-latencies": [(SERVER, PERFORMANCE, log(requested_use_token_latencies=False))],
    "performance.sample-count": [(OFFLINE, PERFORMANCE, log(effective_performance_sample_count=1000))],
    "performance.min-duration": [(SERVER, PERFORMANCE, log(effective_min_duration_ms=120_000))],
    "validity.limits": [
        (INTERACTIVE, mode, log(requested_server_ttft_latency=2000 * MS, requested_server_tpot_latency=100 * MS))
        for mode in Mode
    ],
    "validity.own-limits": [(INTERACTIVE, PERFORMANCE, log(requested_server_ttft_latency=400 * MS))],
    "validity.percentile": [(SERVER, PERFORMANCE, log(effective_target_latency_percentile=0.9))],
    "performance.target-latency": [(SERVER, PERFORMANCE, log(effective_target_latency_ns=30_000 * MS))],
    "validity.equal-issue": [(OFFLINE, PERFORMANCE, log(effective_sample_concatenate_permutation=False))],
    "validity.issue": [
        (SERVER, PERFORMANCE, log(effective_performance_issue_same=True)),
        (SERVER, PERFORMANCE, log(effective_performance_issue_unique=True)),
    ],
    "validity.verdict": [
        (OFFLINE, PERFORMANCE, log(result_validity="INVALID", result_min_duration_met=False)),
        (SERVER, PERFORMANCE, log(result_perf_constraints_met=False)),
    ],
    "performance.early-stopping": [(SERVER, PERFORMANCE, log(early_stopping_met=False))],
    "validity.duration": [(OFFLINE, PERFORMANCE, log(result_max_latency_ns=599_000 * MS))],
    "validity.whole-rounds": [(OFFLINE, PERFORMANCE, log(generated_samples_per_query=14_000))],
    "performance.offline-samples": [(OFFLINE, PERFORMANCE, log(effective_samples_per_query=5000))],
    "performance.latency": [
        (INTERACTIVE, PERFORMANCE, log(result_first_token_P99_percentile_latency_ns=500 * MS)),
        (SERVER, PERFORMANCE, log(result_time_per_output_token_P99_percentile_ns=120 * MS)),
    ],
    "performance.metric": [(SERVER, PERFORMANCE, log(result_completed_tokens_per_second=0))],
    "validity.answers": [(SERVER, PERFORMANCE, log(generated_query_count=999_999))],
    "validity.token-counts": [
        (SERVER, PERFORMANCE, log(**{"result_time_per_output_token_50.00_percentile_ns": 18446744073709551000}))
    ],
    "results.keys": [
        (SERVER, PERFORMANCE, without("result_completed_samples_per_sec")),
        (OFFLINE, PERFORMANCE, without("result_samples_per_second")),
        (SERVER, COMPLIANT, without("result_min_latency_ns")),
    ],
    "results.figures": [
        (OFFLINE, PERFORMANCE, log(result_samples_per_second=30.0)),
        (SERVER, PERFORMANCE, log(result_completed_samples_per_sec=40.0)),
        (SERVER, PERFORMANCE, log(result_completed_tokens_per_second=30_000)),
        (SERVER, PERFORMANCE, log(result_completed_tokens_per_second=300.0)),
        (SERVER, PERFORMANCE, log(result_token_throughput=1e-8)),
        (SERVER, PERFORMANCE, log(generated_query_duration=601 * 10**9)),
        (SERVER, PERFORMANCE, log(effective_target_qps=30.0, requested_server_target_qps=30.0)),
        (SERVER, PERFORMANCE, log(result_overlatency_query_count=0)),
        (OFFLINE, PERFORMANCE, log(result_tokens_per_second=5000.0)),
        (OFFLINE, PERFORMANCE, log(effective_samples_per_query=26_736)),
        (SERVER, COMPLIANT, log(result_completed_samples_per_sec=4.0)),
    ],
    "results.order": [
        (SERVER, PERFORMANCE, log(result_first_token_P99_percentile_latency_ns=1)),
        (SERVER, PERFORMANCE, log(result_mean_latency_ns=1)),
        (SERVER, PERFORMANCE, log(result_first_token_min_latency_ns=1)),
        (SERVER, PERFORMANCE, log(result_first_token_max_latency_ns=MS * 1000)),
        (OFFLINE, PERFORMANCE, log(result_mean_latency_ns=649_000 * MS)),
        (OFFLINE, COMPLIANT, log(result_mean_latency_ns=1)),
    ],
    "results.verdict": [
        (SERVER, PERFORMANCE, log(early_stopping_ttft_result=" * Run unsuccessful.")),
        (SERVER, PERFORMANCE, log(effective_min_query_count=20_000)),
        (SERVER, PERFORMANCE, log(requested_server_tpot_latency=1)),
        (OFFLINE, PERFORMANCE, log(effective_min_duration_ms=900_000, requested_min_duration_ms=900_000)),
    ],
    "results.times": [
        (SERVER, PERFORMANCE, log(power_end="01-05-2026 10:00:00.000")),
        (OFFLINE, PERFORMANCE, log(power_begin="01-05-2020 10:00:00.000")),
        (OFFLINE, ACCURATE, log(power_begin="07-01-2099 10:00:00.000", power_end="07-01-2099 10:00:00.100")),
        (SERVER, COMPLIANT, log(power_end="soon")),
        (OFFLINE, PERFORMANCE, earlier_last_line),
    ],
    "log.keys": [
        *((SERVER, mode, without("effective_schedule_rng_seed")) for mode in Mode),
        (OFFLINE, ACCURATE, without("requested_accuracy_sample_count_override")),
    ],
    "log.settings": [(SERVER, mode, log(requested_min_duration_ms=1)) for mode in Mode],
    "accuracy.data-set": [(OFFLINE, ACCURATE, log(qsl_reported_total_count=5000))],
    "accuracy.count": [(OFFLINE, ACCURATE, scores(gen_num=13367))],
    "accuracy.targets": [(SERVER, ACCURATE, scores(rouge2=15.74))],
    "accuracy.possible": [(SERVER, ACCURATE, scores(rouge1=3880.0))],
    "test06.settings": [(SERVER, COMPLIANT, no_audit)],
    "test06.outputs": [(SERVER, COMPLIANT, two_end_tokens)],
    "outputs.length": [(SERVER, COMPLIANT, output(5, *[7] * 128))],
    "outputs.end-token": [(SERVER, COMPLIANT, output(5, 128009, 7))],
    "outputs.vocabulary": [(SERVER, COMPLIANT, output(5, 900_000)), (OFFLINE, COMPLIANT, output(5, -7))],
    "outputs.samples": [(SERVER, COMPLIANT, output(5, 7, qsl_idx=99_999)), (OFFLINE, COMPLIANT, one_sample)],
}
OF_OPEN = {"performance.open"}  # test_open.py
CASES = [(rule, index) for rule, examples in EXAMPLES.items() for index in range(len(examples))]


def test_every_rule_of_the_book_has_an_example() -> None:
    assert list(EXAMPLES) and EXAMPLES.keys() | OF_OPEN == RULES.keys()
    assert len(RULES) == len(list(BOOK)), "two rules have one id"


@pytest.mark.parametrize("rule", list(BOOK), ids=lambda rule: rule.id)
def test_every_rule_has_a_source_and_spoils_closed(rule: LogRule) -> None:
    assert rule.source.startswith("mlcommons/")
    assert Breaks.CLOSED in rule.breaks or rule.id in OF_OPEN, "what spoils nothing in closed is a note"


def test_another_round_is_other_data_for_the_same_rules(datacenter: Path) -> None:
    logs = logs_of(Evidence.load(datacenter / "server" / "performance"))
    assert not list(BOOK.breaches(logs))
    later = replace(
        ROUND,
        seeds={"effective_schedule_rng_seed": 1},
        min_duration_ms=900_000,
        limits_ns={"server": Limits(ttft=10**9, tpot=50 * MS)},
        min_loadgen=(7, 0),
    )
    broken = {rule.id for rule, _ in BOOK.breaches(replace(logs, round=later))}
    assert broken - {"performance.latency", "performance.open"} == {  # a busy machine may be slower than those limits
        "performance.seeds",
        "performance.min-duration",
        "validity.duration",
        "validity.limits",
        "validity.loadgen",
    }


@pytest.mark.parametrize(("rule", "index"), CASES)
def test_gate_and_tree_say_the_same(rule: str, index: int, datacenter: Path, spoilt: Path, tmp_path: Path) -> None:
    scenario, mode, spoil = EXAMPLES[rule][index]
    run = tmp_path / "run"
    shutil.copytree(datacenter / scenario / mode, run)
    spoil(run)
    reasons = [reason for reason in judge(Evidence.load(run)).reasons if reason.rule in RULES]
    findings = [finding for finding in lay(run, spoilt, scenario, mode) if finding.rule in RULES]
    spoiling = {finding.rule for finding in findings if finding.severity is Severity.ERROR}
    assert {reason.rule for reason in reasons} == spoiling
    assert rule in {finding.rule for finding in findings}
    assert (rule in spoiling) == RULES[rule].weight.spoils
    agree_in_words(reasons, findings)
    wanted = "validity" if Breaks.VALIDITY in RULES[rule].breaks else "submission"
    assert {reason.breaks for reason in reasons if reason.rule == rule} <= {wanted}


def lay(run: Path, root: Path, scenario: Scenario, mode: Mode) -> list[TreeFinding]:
    """Put the logs of ``run`` where they belong in the tree, and check it."""
    spoiler, name = Spoiler(root), scenario.directory
    target = {
        Mode.PERFORMANCE: spoiler.log(name).parent,
        Mode.ACCURACY: spoiler.accuracy(name),
        Mode.COMPLIANCE: spoiler.test06(name) / "performance" / "run_1",
    }[mode]
    for log_name in (DETAIL, SUMMARY):
        shutil.copyfile(run / log_name, target / log_name)
    if mode is Mode.COMPLIANCE:
        shutil.copyfile(run / ACCURACY, spoiler.test06(name) / "accuracy" / ACCURACY)
    if mode is Mode.ACCURACY:
        text = target / "accuracy.txt"
        kept = text.read_text().partition("hash=")
        given = msgspec.json.decode((run / "accuracy.json").read_bytes(), type=Accuracy)
        text.write_text(given.text() + "".join(kept[1:]))
    return check_submission(root / "tree")


def agree_in_words(reasons: list[Reason], findings: list[TreeFinding]) -> None:
    assert {reason.text for reason in reasons} <= {finding.message for finding in findings}
    assert {(reason.rule, reason.source) for reason in reasons} <= {(f.rule, f.source) for f in findings}
