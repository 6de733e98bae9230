"""result.json: the contract's fields, filled from LoadGen's own figures, null where they do not apply."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.config import Benchmark, Mode, Scenario
from harness.loadgen.log import ACCURACY, DETAIL, SUMMARY, parse_detail
from harness.rundir.result import Result, read_result
from harness.rundir.schemas import schema_of
from harness.verdict.result import write_result
from mlperf_llama_base.errors import UserError
from mlperf_llama_base.files import sha256_of
from tests.harness.submission.runs import make_run
from tests.helpers.results import build_result

CONTRACT = [
    "schema_version",
    "scenario",
    "mode",
    "model_name",
    "valid",
    "submittable",
    "invalid_reasons",
    "samples_per_second",
    "tokens_per_second",
    "ttft_ms",
    "tpot_ms",
    "latency_ms",
    "samples",
    "tokens",
    "workers",
    "accuracy",
    "compliance",
    "versions",
    "rules",
]
PERFORMED = [(scenario, benchmark) for benchmark in Benchmark for scenario in benchmark.scenarios]


@pytest.fixture
def server(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", Scenario.SERVER, Mode.PERFORMANCE, Benchmark.DATACENTER)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(("scenario", "benchmark"), PERFORMED)
def test_every_kind_of_run_keeps_the_contract(
    tmp_path: Path, scenario: Scenario, benchmark: Benchmark, mode: Mode
) -> None:
    run = make_run(tmp_path / "run", scenario, mode, benchmark)
    write_result(run)
    result = json.loads((run / "result.json").read_text())
    jsonschema.validate(result, schema_of(Result))
    assert set(CONTRACT) <= set(result)
    assert result == build_result(run)
    assert (read_result(run).scenario, read_result(run).mode) == (scenario, mode)
    assert not list(run.glob(".*"))
    offline, measured = scenario is Scenario.OFFLINE, mode is not Mode.ACCURACY
    assert (result["ttft_ms"] is not None) == (result["tpot_ms"] is not None) == (measured and not offline)
    assert (result["latency_ms"] is not None) == (result["tokens_per_second"] is not None) == measured
    assert (result["accuracy"] is not None) == (mode is Mode.ACCURACY)
    assert (result["compliance"] is not None) == (mode is Mode.COMPLIANCE)
    if block := result["compliance"]:
        assert set(block) == {"test", "first_token", "eos", "sample_length", "samples", "passed", "reasons"}
        assert (block["test"], block["passed"], block["reasons"]) == ("TEST06", True, [])
    limited = scenario in (Scenario.SERVER, Scenario.INTERACTIVE)
    assert (result["rules"]["ttft_limit_ms"] is not None) == limited
    assert (result["target_qps"] is None) == (scenario is Scenario.SINGLESTREAM)


def test_figures_are_loadgens(server: Path) -> None:
    result, values = build_result(server), parse_detail(server / DETAIL).values
    assert result["samples_per_second"] == values["result_completed_samples_per_sec"]
    assert result["tokens_per_second"] == values["result_completed_tokens_per_second"]
    assert result["ttft_ms"]["p99"] == values["result_first_token_99.00_percentile_latency_ns"] / 1e6
    assert result["tpot_ms"]["p99_9"] == values["result_time_per_output_token_99.90_percentile_ns"] / 1e6
    assert result["tpot_ms"]["mean"] == values["result_time_to_output_token_mean"] / 1e6
    assert result["latency_ms"]["p90"] == values["result_90.00_percentile_latency_ns"] / 1e6
    for key, value in result["loadgen"]["figures"].items():
        assert values[key] == value
    assert {key for key in values if key.startswith("result_")} <= set(result["loadgen"]["figures"])
    assert result["loadgen"]["sha256"] == {name: sha256_of(server / name) for name in (SUMMARY, DETAIL, ACCURACY)}
    assert (result["rules"]["ttft_limit_ms"], result["rules"]["tpot_limit_ms"]) == (2000, 100)
    assert result["rules"]["prefix_caching"] is False


def test_the_machine_and_the_software_are_on_record(server: Path) -> None:
    assert build_result(server)["hardware"] is None
    system = {"cpu": {"model": "x", "cores": 2}, "software": {"python": "3.11.7"}, "git_revision": "abc-dirty"}
    (server / "system.json").write_text(json.dumps(system))
    result = build_result(server)
    assert result["hardware"] == {"cpu": {"model": "x", "cores": 2}}
    assert result["versions"]["git_revision"] == "abc-dirty"
    assert result["versions"]["python"] == "3.11.7"
    assert result["versions"]["loadgen"].startswith("6.0.17 @ ")
    assert result["versions"]["engine vllm"] == "0.26.0"


def test_metrics_are_summed_up(server: Path) -> None:
    rows = {
        "t_s": [1.0, 2.0, 1.0],
        "node": ["a"] * 3,
        "source": ["gpu0", "gpu0", "cpu"],
        "name": ["power_w", "power_w", "used"],
        "value": [300.0, 400.0, 0.5],
    }
    pq.write_table(pa.table(rows), server / "metrics.parquet")
    metrics = build_result(server)["metrics"]
    assert metrics == {"a/cpu/used": {"mean": 0.5, "max": 0.5}, "a/gpu0/power_w": {"mean": 350.0, "max": 400.0}}


def test_a_run_that_broke_has_a_result_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("scenario: server\nmode: performance\nbenchmark: datacenter\n")
    write_result(tmp_path)
    result = build_result(tmp_path)
    jsonschema.validate(result, schema_of(Result))
    assert not result["valid"] and result["samples_per_second"] is None and result["samples"]["issued"] is None
    assert result["invalid_reasons"][0].startswith("session.json is missing")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run directory"):
        build_result(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        read_result(tmp_path)


@pytest.mark.parametrize("name", ["session.json", "config.yaml", "accuracy.json"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.yaml").write_text("mode: accuracy\n")
    (tmp_path / name).write_text('{"a": [')
    with pytest.raises(UserError, match=f"{name} is damaged"):
        build_result(tmp_path)
