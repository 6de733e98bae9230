"""LoadGen's logs, as the real LoadGen writes them, and damaged."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.loadgen.log import DETAIL, SUMMARY, parse_detail
from harness.loadgen.summary import compared, disagreements, parse_summary
from tests.harness.loadgen.real_runs import run_loadgen, tokens_of
from tests.helpers.results import build_result

SERVER: dict[str, Any] = {"scenario": "Server", "attributes": {"min_duration_ms": 300, "server_target_qps": 3000}}
RUNS: dict[str, dict[str, Any]] = {
    "offline": {"attributes": {"min_duration_ms": 0, "min_query_count": 64}},
    "server": SERVER,
    "interactive": SERVER | {"model": "llama3_1-8b-interactive"},
    "singlestream": {
        "scenario": "SingleStream",
        "model": "llama3_1-8b-edge",
        "delay_s": 0.001,
        "attributes": {"min_duration_ms": 100, "single_stream_expected_latency_ns": 1_000_000},
    },
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: run_loadgen(tmp_path_factory.mktemp(name), **plan) for name, plan in RUNS.items()}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_read_whole(runs: dict[str, Path], name: str) -> None:
    log = parse_detail(runs[name] / DETAIL)
    assert log.exists and log.finished and not log.damaged and not log.errors
    assert log.text("result_validity") == "VALID" == parse_summary(runs[name] / SUMMARY).validity
    assert log.loadgen_version is not None and log.loadgen_version >= (6, 0, 17)
    assert not log.audit_config_used
    assert log.lines == len((runs[name] / DETAIL).read_text().splitlines())


@pytest.mark.parametrize("name", RUNS)
def test_summary_detail_and_result_agree_on_every_figure(runs: dict[str, Path], name: str) -> None:
    log, summary = parse_detail(runs[name] / DETAIL), parse_summary(runs[name] / SUMMARY)
    pairs = compared(log, summary)
    assert len(pairs) == {"offline": 32}.get(name, 55)
    assert disagreements(log, summary) == []
    result = build_result(runs[name])
    in_summary = summary.values
    for stat, label in (
        ("p50", "50.00 percentile"),
        ("p90", "90.00 percentile"),
        ("p99", "99.00 percentile"),
        ("p99_9", "99.90 percentile"),
        ("min", "Min"),
        ("mean", "Mean"),
        ("max", "Max"),
    ):
        assert result["latency_ms"][stat] * 1e6 == pytest.approx(int(in_summary[f"{label} latency (ns)"]))
        if name == "offline":
            continue
        first = (
            label.replace("Min", "Min First Token")
            .replace("Mean", "Mean First Token")
            .replace("Max", "Max First Token")
        )
        first = f"{first} first token" if "percentile" in label else first
        assert result["ttft_ms"][stat] * 1e6 == pytest.approx(int(in_summary[f"{first} latency (ns)"]))
        each = f"{label} time to output token" if "percentile" in label else f"{label} Time per Output Token"
        assert result["tpot_ms"][stat] * 1e6 == pytest.approx(int(in_summary[f"{each} (ns)"]))
    rates = {"offline": ("Samples per second", "Tokens per second"), "singlestream": ("QPS w/ loadgen overhead", None)}
    samples, tokens = rates.get(name, ("Completed samples per second", "Completed tokens per second"))
    assert result["samples_per_second"] == pytest.approx(float(in_summary[samples]), rel=1e-5, abs=0.006)
    if tokens:
        assert result["tokens_per_second"] == pytest.approx(float(in_summary[tokens]), rel=1e-5)


@pytest.mark.parametrize("name", RUNS)
def test_duration_is_what_loadgen_judges(runs: dict[str, Path], name: str) -> None:
    log = parse_detail(runs[name] / DETAIL)
    assert log.duration_s is not None
    assert log.duration_s * 1e3 >= (log.number("effective_min_duration_ms") or 0) * (1 - 1e-5)


@pytest.mark.parametrize("name", ["offline", "server", "interactive"])
def test_tokens_are_counted_back_from_the_rates(runs: dict[str, Path], name: str) -> None:
    log = parse_detail(runs[name] / DETAIL)
    rounds = (log.sample_count or 0) / 64
    assert log.token_count == pytest.approx(rounds * sum(len(tokens_of(i)) for i in range(64)), rel=2e-5)


def test_errors_are_counted_with_their_texts(tmp_path: Path) -> None:
    log = parse_detail(run_loadgen(tmp_path, sut="one-token", **SERVER) / DETAIL)
    assert set(log.errors) == {"Number of tokens need to be greater than 1"}
    assert log.error_count == len(log.errors) == log.values["num_errors"] > 0


def test_an_accuracy_run_has_errors_without_a_count(tmp_path: Path) -> None:
    log = parse_detail(run_loadgen(tmp_path, sut="one-token", mode="AccuracyOnly") / DETAIL)
    assert "num_errors" not in log.values
    assert log.error_count == 64 and log.finished


def test_the_audit_file_is_seen(tmp_path: Path) -> None:
    audit = tmp_path / "audit.config"
    audit.write_text("*.*.min_query_count = 64\n")
    log = parse_detail(run_loadgen(tmp_path / "run", audit=str(audit), **SERVER) / DETAIL)
    assert log.audit_config_used


def test_a_cut_log_is_reported(runs: dict[str, Path], tmp_path: Path) -> None:
    text = (runs["server"] / DETAIL).read_text()
    (tmp_path / DETAIL).write_text(text[:-300])
    log = parse_detail(tmp_path / DETAIL)
    assert not log.finished
    assert len(log.damaged) == 1 and "is cut off" in log.damaged[0]


def test_garbled_lines_are_reported(runs: dict[str, Path], tmp_path: Path) -> None:
    lines = (runs["server"] / DETAIL).read_text().splitlines()
    lines[3] = lines[3][:50] + "\x00" + lines[3][60:]
    lines[5] = "something else"
    (tmp_path / DETAIL).write_text("\n".join(lines) + "\n")
    damaged = parse_detail(tmp_path / DETAIL).damaged
    assert [text[:6] for text in damaged] == ["line 4", "line 6"]


def test_missing_and_empty_logs(tmp_path: Path) -> None:
    assert not parse_detail(tmp_path / DETAIL).exists
    (tmp_path / DETAIL).touch()
    log = parse_detail(tmp_path / DETAIL)
    assert log.exists and not log.lines and not log.finished
    assert parse_summary(tmp_path / SUMMARY).values == {}


def test_logs_of_two_runs_disagree(runs: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(runs["server"] / DETAIL, tmp_path)
    shutil.copy(runs["interactive"] / SUMMARY, tmp_path)
    assert disagreements(parse_detail(tmp_path / DETAIL), parse_summary(tmp_path / SUMMARY))
