"""Each scenario in each mode through the real command line and the real LoadGen, on the null engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from harness.config import RunConfig
from harness.loadgen.log import parse_detail
from harness.rundir.result import Result, read_result
from tests.helpers.command import Done, answers, command, read
from tests.helpers.rows import rows, write_rows
from tests.integration import tiny_model

pytestmark = pytest.mark.timeout(300)

SCENARIOS = ("offline", "server", "interactive", "singlestream")
MODES = ("performance", "accuracy", "compliance")
ROWS, LENGTH, QUERIES = 24, 8, 480
LOGS = ("mlperf_log_summary.txt", "mlperf_log_detail.txt", "mlperf_log_accuracy.json")
FILES = {
    "config.yaml",
    "user.conf",
    "status.json",
    "session.json",
    "result.json",
    "system.json",
    "preflight.json",
    "events.parquet",
    "metrics.parquet",
    "session.log",
    "workers",
    *LOGS,
}
# A figure of result.json, and the words of the summary for it, which gives ns and two to six digits
SAID = {
    "samples_per_second": (r"Samples per second|Completed samples per second|QPS w/ loadgen overhead", 1.0),
    "tokens_per_second": (r"Tokens per second|Completed tokens per second", 1.0),
    "latency_ms.mean": (r"Mean latency \(ns\)", 1e6),
    "latency_ms.min": (r"Min latency \(ns\)", 1e6),
    "latency_ms.max": (r"Max latency \(ns\)", 1e6),
    "ttft_ms.mean": (r"Mean First Token latency \(ns\)", 1e6),
    "tpot_ms.mean": (r"Mean Time per Output Token \(ns\)", 1e6),
} | {
    f"{field}.p{name}": (rf"{text} percentile {words} \(ns\)", 1e6)
    for field, words in (
        ("latency_ms", "latency"),
        ("ttft_ms", "first token latency"),
        ("tpot_ms", "time to output token"),
    )
    for name, text in (("50", "50.00"), ("90", "90.00"), ("99", "99.00"), ("99_9", "99.90"))
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    tiny_model.make(folder / "model")
    write_rows(folder / "data.json", [row | {"input": ""} for row in rows(ROWS)])
    (folder / "user.conf").write_text(
        "# rates of a small machine\n*.Server.target_qps = 7\n*.*.min_duration = 10\n\n"
        f"*.*.min_query_count = {QUERIES}\n*.SingleStream.target_latency = 50\n"
    )
    return folder


def run(folder: Path, name: str, *options: str | Path) -> tuple[Done, Path]:
    """A short run of two null workers with a step of 1 ms; its lengths come from user.conf."""
    settings = {
        "engine.args.step_ms": 1,
        "engine.args.output_tokens": LENGTH,
        "engine.args.eos_token_id": tiny_model.EOS,
        "monitor.interval_s": 0.2,
    }
    sets = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    done = command(
        "run",
        "--output",
        folder / name,
        "--engine",
        "null",
        "--workers",
        "2",
        "--dataset",
        folder / "data.json",
        "--user-conf",
        folder / "user.conf",
        "--target-qps",
        "600",
        "--target-latency-ms",
        "9",
        "--model",
        folder / "model",
        *sets,
        *options,
    )
    return done, folder / name


@pytest.fixture(scope="module", params=[(s, m) for s in SCENARIOS for m in MODES], ids=lambda p: "-".join(p))
def finished(request: pytest.FixtureRequest, folder: Path) -> tuple[str, str, Done, Path]:
    scenario, mode = request.param
    done, path = run(folder, f"{scenario}-{mode}", "--scenario", scenario, "--mode", mode)
    return scenario, mode, done, path


def test_the_command_tells_the_verdict_and_leaves_the_files(finished: tuple[str, str, Done, Path]) -> None:
    _, mode, done, path = finished
    result = read(path, "result.json")
    assert done.err == "" and done.code == (0 if result["valid"] else 1)
    said = "VALID" if result["valid"] else "TOO SHORT" if result["too_short"] else "NOT VALID"
    assert said in done.out.upper() and ("NOT VALID" in done.out) == (said == "NOT VALID")
    there = {p.name for p in path.iterdir() if p.stat().st_size or p.name == "session.log"}
    wanted = FILES | ({"accuracy.txt"} if mode == "accuracy" else set())
    wanted |= {"audit.config"} if mode == "compliance" else set()
    assert wanted <= there, wanted - there
    assert not [name for name in there if name.startswith(".")]
    assert sorted(p.name for p in (path / "workers").iterdir()) == ["worker-0.log", "worker-1.log"]


def test_result_json_keeps_the_contract(finished: tuple[str, str, Done, Path]) -> None:
    scenario, mode, _, path = finished
    result: Result = read_result(path)
    assert (result.schema_version, result.scenario, result.mode) == (1, scenario, mode)
    edge = scenario == "singlestream"
    names = {"interactive": "llama3_1-8b-interactive", "singlestream": "llama3_1-8b-edge"}
    assert result.model_name == names.get(scenario, "llama3_1-8b")
    assert result.benchmark == ("edge" if edge else "datacenter")
    # LoadGen wants 662 queries before it settles a p99, and judges TEST06's 100 by none of its own criteria
    assert [r for r in result.invalid_reasons if "LoadGen says INVALID" not in r] == []
    assert not result.submittable
    samples, tokens = result.samples, result.tokens
    assert samples.issued == samples.completed and samples.issued and samples.lost == samples.retried == 0
    assert (tokens.output_mean, tokens.output_min, tokens.output_max) == (LENGTH, LENGTH, LENGTH)
    assert len(result.workers) == 2 and sum(w.samples or 0 for w in result.workers) == samples.completed
    assert all(w.restarts == 0 for w in result.workers)
    assert result.loadgen.errors == 0
    assert set(result.loadgen.sha256) == set(LOGS)
    assert result.rules.prefix_caching is False and result.rules.first_token_mismatch == 0
    assert result.rules.extra_eos == 0
    # what does not apply is null
    performance = mode == "performance"
    assert (result.accuracy is None) == (mode != "accuracy")
    assert (result.compliance is None) == (mode != "compliance")
    assert (result.latency_ms is None) == (mode == "accuracy")
    assert (result.samples_per_second is None) == (result.tokens_per_second is None) == (mode == "accuracy")
    has_first_tokens = scenario != "offline" and mode != "accuracy"
    assert (result.ttft_ms is not None) == (result.tpot_ms is not None) == has_first_tokens
    assert (result.target_qps is None) == (scenario == "singlestream")
    if performance:
        assert samples.issued >= QUERIES and samples.issued % ROWS == 0
    if result.accuracy:
        assert (result.accuracy.gen_num, samples.issued) == (ROWS, ROWS)
        assert result.accuracy.partial and result.accuracy.meets_targets is None
    if result.compliance:
        assert result.compliance.passed and result.compliance.samples == 100
        assert (result.compliance.first_token is None) == (scenario == "offline")


def test_loadgens_summary_and_result_json_agree(finished: tuple[str, str, Done, Path]) -> None:
    scenario, mode, _, path = finished
    result, text = read(path, "result.json"), (path / LOGS[0]).read_text()
    said = {key.strip(): value for key, value in re.findall(r"^\s*([^:\n]+?)\s*:\s*([\d.e+]+)\s*$", text, re.M)}
    verdict = re.search(r"Result is : (\w+)", text)
    assert (verdict is None) == (mode == "accuracy")
    if verdict and mode == "performance":
        assert (verdict[1] == "VALID") == result["valid"]
    compared = 0
    for field, (pattern, scale) in SAID.items():
        value: Any = result
        for part in field.split("."):
            value = None if value is None else value[part]
        lines = [v for k, v in said.items() if re.fullmatch(pattern, k)]
        if scenario == "singlestream" and field == "tokens_per_second":
            continue  # its summary has only the rate with LoadGen's overhead, which is among ``loadgen.figures``
        assert bool(lines) == (value is not None), field
        for line in lines:
            assert float(line) == pytest.approx(value * scale, rel=1e-5, abs=0.006), field
            compared += 1
    assert compared >= {"accuracy": 0}.get(mode, 9 if scenario == "offline" else 17)
    figures = {f"{float(v):.6g}" for v in result["loadgen"]["figures"].values() if isinstance(v, int | float)}
    overhead = [v for k, v in said.items() if k.endswith(" w/ loadgen overhead")]
    assert len(overhead) == (2 if scenario == "singlestream" and mode != "accuracy" else 0)
    assert all(any(float(v) == pytest.approx(float(f), abs=0.006) for f in figures) for v in overhead)


def test_events_parquet_has_a_row_a_sample(finished: tuple[str, str, Done, Path]) -> None:
    import pyarrow.parquet as pq

    scenario, mode, _, path = finished
    table = pq.read_table(path / "events.parquet")
    column = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    issued = read(path, "result.json")["samples"]["issued"]
    assert table.num_rows == issued == len(np.unique(column["sample_id"]))
    assert set(column["qsl_idx"]) <= set(range(ROWS))
    if mode != "compliance":  # equal issue: every row as often as every other
        assert len(set(np.bincount(column["qsl_idx"], minlength=ROWS))) == 1
    assert column["issue_ns"].min() == 0
    assert (column["dispatch_ns"] >= column["issue_ns"]).all()
    assert (column["complete_ns"] >= column["dispatch_ns"]).all()
    assert (column["output_tokens"] == LENGTH).all() and (column["attempts"] == 1).all()
    assert set(column["worker"]) <= {0, 1}
    assert (table["first_token_ns"].null_count == issued) == (scenario == "offline")
    if scenario != "offline":
        first = column["first_token_ns"]
        assert (first >= column["dispatch_ns"]).all() and (first <= column["complete_ns"]).all()


def test_the_accuracy_log_holds_each_sample_once(finished: tuple[str, str, Done, Path], folder: Path) -> None:
    _, mode, _, path = finished
    if mode == "compliance":
        assert len(read(path, LOGS[2])) == 100
    else:
        found = answers(path)
        assert set(found) == (set(range(ROWS)) if mode == "accuracy" else set())
        for index, tokens in found.items():  # what the null engine says to this prompt
            prompt = read(folder, "data.json")[index]["tok_input"]
            assert tokens == (*(prompt * LENGTH)[: LENGTH - 1], tiny_model.EOS)


def test_user_conf_is_in_effect_and_flags_win(finished: tuple[str, str, Done, Path]) -> None:
    scenario, mode, _, path = finished
    log = parse_detail(path / LOGS[1])
    if scenario == "singlestream":
        assert "target_latency = 9\n" in (path / "user.conf").read_text()
    else:
        assert log.number("effective_target_qps") == 600
        kept = "*.Server.target_qps = 7" in (path / "user.conf").read_text()
        assert kept == (scenario == "offline")  # a line for another scenario stays
    if mode == "performance":
        assert log.integer("effective_min_duration_ms") == 10
    session = read(path, "session.json")
    assert session["from_config_rc"] == 0
    assert (session["settings"]["min_duration_ms"], session["settings"]["min_query_count"]) == (10, QUERIES)


def test_config_yaml_can_be_given_back(folder: Path) -> None:
    _, first = run(folder, "first", "--scenario", "server", "--overwrite")
    done = command("run", "--profile", first / "config.yaml", "--output", folder / "second")
    assert done.err == ""
    trees = [yaml.safe_load((folder / name / "config.yaml").read_text()) for name in ("first", "second")]
    assert trees[0] | {"output": ""} == trees[1] | {"output": ""}
    assert "overwrite" not in trees[0] and RunConfig.model_validate(trees[0]).output == str(first)
    settings = [read(folder / name, "session.json")["settings"] for name in ("first", "second")]
    assert settings[0] == settings[1]
    again = command("run", "--profile", first / "config.yaml", "--output", first)
    assert again.code == 2 and "not empty" in again.err
