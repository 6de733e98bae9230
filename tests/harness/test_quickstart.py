"""Three runs under one bar, and a Server run that LoadGen calls VALID: the mechanism, with an engine that is quick."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import quickstart
from harness.cli.quickstart import _typed
from harness.config import build, load_profile, parse_set
from qsl.dataset import Dataset
from qsl.demo import build_demo_sentences
from tests.helpers.command import command
from tests.helpers.rows import rows, write_rows
from tests.helpers.tokenizers import write_words

NAMES = ["offline-performance", "offline-accuracy", "server-performance"]


def test_short_sentences_enough_for_early_stopping(tmp_path: Path) -> None:
    write_words(tmp_path / "tokenizer", ["a", "The"], unknown="a", eos_token="The")
    path = build_demo_sentences(tmp_path / "tokenizer", tmp_path / "x.json", count=quickstart.SERVER_QUERIES)
    data = Dataset.load(path)
    assert data.count == quickstart.SERVER_QUERIES >= 459
    assert data.lengths.max() < 40
    assert len(set(data.articles(range(data.count)))) == data.count


def test_the_steps_are_options_of_run(tmp_path: Path) -> None:
    from tests.docs.test_commands import parsed

    for speed in (quickstart.WITH_BF16, quickstart.WITHOUT_BF16):
        wanted = quickstart.steps(tmp_path / "x.json", speed)
        assert [step.name for step in wanted] == NAMES
        for step in wanted:
            words = ("run", "--profile", "cpu-demo", *speed.engine(), *step.of_demo, *step.options)
            build(load_profile("cpu-demo", None), {"output": "x"}, parse_set(parsed(words)["settings"]))
        assert sum(step.weight for step in wanted) < 240  # with a minute for the environment, five minutes in all


@pytest.mark.parametrize(
    ("flags", "speed"),
    [
        ("fpu avx512f avx512_bf16", quickstart.WITH_BF16),
        ("fpu amx_bf16 amx_tile", quickstart.WITH_BF16),
        ("fpu avx2 avx_vnni", quickstart.WITHOUT_BF16),
    ],
)
def test_the_pace_follows_from_the_processor_s_flags(tmp_path: Path, flags: str, speed: quickstart.Pace) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    assert quickstart.pace(tmp_path / "cpuinfo") == speed
    assert quickstart.pace(tmp_path / "none") == quickstart.WITHOUT_BF16


@pytest.mark.timeout(180)
def test_three_runs_one_table_and_a_valid_server(tmp_path: Path) -> None:
    """With the null engine in place of the model: the data, the counts and LoadGen's verdict are the real ones."""
    write_words(tmp_path / "tokenizer", [f"word{i}" for i in range(600)], unknown="word0", eos_token="word599")
    data = write_rows(tmp_path / "data.json", rows(470))
    profile = tmp_path / "quick.yaml"
    profile.write_text(
        "engine:\n  name: 'null'\n  args: {output_tokens: 8, eos_token_id: 599, vocab_size: 600, step_ms: 1}\n"
        f"model: {{tokenizer: {tmp_path / 'tokenizer'}}}\nloadgen: {{target_qps: 100, min_duration_ms: 1}}\n"
    )
    quick = ("--dataset", data, "--target-qps", "200", "--skip-preflight")
    done = command("quickstart", tmp_path / "out", "--profile", profile, *quick)
    assert done.code == 0, done.out + done.err
    assert [line for line in done.out.splitlines() if "/3  " in line] == [
        "1/3  Offline: how many tokens a second",
        "2/3  Accuracy: how good the summaries are",
        "3/3  Server: how long a user waits",
    ]
    assert not done.err
    for name in NAMES:
        result = json.loads((tmp_path / "out" / name / "result.json").read_text())
        assert result["valid"], result["invalid_reasons"]
        assert (tmp_path / "out" / f"{name}.log").is_file()


def test_a_run_that_breaks_is_told_by_its_last_line(tmp_path: Path) -> None:
    done = command("quickstart", tmp_path / "out", "--set", "no.such=1")
    assert done.code == 2
    (line,) = done.errors
    assert "offline-performance" in line and "no" in line and "offline-performance.log" in line


def test_what_comes_next_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by one whose path has no environment, as after scripts/quickstart.sh."""
    own = tmp_path / ".venv" / "bin" / "mlperf-llama"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(own.with_name("python")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    assert _typed() == ".venv/bin/mlperf-llama"
    monkeypatch.chdir("/usr")
    assert _typed() == str(own)
    monkeypatch.setenv("PATH", str(own.parent))
    assert _typed() == "mlperf-llama"
