"""``mlperf-llama benchmark``: the plan, and one small campaign with real runs of the null engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.command import command
from tests.helpers.rows import row, write_rows
from tests.helpers.tokenizers import write_words

pytestmark = pytest.mark.timeout(240)


def call(*arguments: object, code: int = 0) -> str:
    done = command("benchmark", *map(str, arguments))
    assert done.code == code, done.out + done.err
    return done.out + done.err


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile on the null engine, 40 samples, and a tokenizer of single words."""
    directory = tmp_path_factory.mktemp("inputs")
    words = [f"word{i}" for i in range(200)]
    write_words(directory / "tokenizer", words, unknown="word0", eos_token="word199")
    prompts = ([(i * 7 + k) % 198 for k in range(20)] for i in range(40))
    write_rows(directory / "data.json", (row(ids, summary=f"word{i} word{i + 1}") for i, ids in enumerate(prompts)))
    (directory / "profile.yaml").write_text(
        "engine:\n  name: 'null'\n"
        "  args: {output_tokens: 12, vocab_size: 200, eos_token_id: 199, step_ms: 8, max_num_seqs: 8}\n"
        f"model: {{tokenizer: {directory / 'tokenizer'}}}\n"
        f"dataset: {{path: {directory / 'data.json'}}}\n"
        "workers: {count: 1, warm_up_prompts: 0}\n"
        "loadgen: {min_duration_ms: 500, min_query_count: 40, target_qps: 200}\n"
    )
    return directory


def test_a_dry_run_prints_the_plan_and_touches_nothing(inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "campaign"
    text = call("datacenter", "--output", output, "--profile", inputs / "profile.yaml", "--dry-run")
    for name in ("smoke/server", "offline/accuracy", "interactive/performance", "10 runs"):
        assert name in text
    assert not output.exists()


def test_an_unknown_scenario_is_named(inputs: Path, tmp_path: Path) -> None:
    options = ("--output", tmp_path / "x", "--profile", inputs / "profile.yaml", "--scenarios", "singlestream")
    assert "'singlestream' is not one of the datacenter benchmark's" in call("datacenter", *options, code=2)


def test_a_rate_is_asked_for(inputs: Path, tmp_path: Path) -> None:
    options = ("--output", tmp_path / "x", "--engine", "null", "--dataset", inputs / "data.json")
    assert "no target rate: give --target-qps offline=X" in call("datacenter", *options, code=2)


def test_a_small_campaign_and_going_on_with_it(inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "campaign"
    options = ("--output", output, "--profile", inputs / "profile.yaml", "--scenarios", "offline")
    text = call("datacenter", *options)
    assert "next: mlperf-llama submission build" in " ".join(text.split())
    for mode in ("accuracy", "compliance", "performance"):
        result = json.loads((output / "offline" / mode / "result.json").read_text())
        assert result["valid"], result["invalid_reasons"]
    before = (output / "offline" / "performance" / "result.json").stat().st_mtime_ns
    again = call("datacenter", *options)
    assert (output / "offline" / "performance" / "result.json").stat().st_mtime_ns == before
    assert "0 runs" in again
