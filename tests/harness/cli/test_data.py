"""``mlperf-llama data``: what the three commands print and write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.data import app, histogram
from mlperf_llama_base.errors import UserError
from qsl.dataset import Dataset


def call(*arguments: object) -> str:
    """Run the command; return its output, or raise what it raised."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_synthesize_and_inspect(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    assert "5,000 samples" in call("synthesize", "--output", path, "--count", 5000, "--seed", 7, "--summaries")
    data = Dataset.load(path)
    assert data.tokens(0)[0] == 128000
    assert len(data.references([0])[0]) > 100

    text = call("inspect", path, "--vocab-size", 128256)
    assert data.sha256 in text
    assert "edge (5,000)" in text
    assert "synthetic, gamma lengths, seed 7" in text
    assert f"mean {data.lengths.mean():.1f}" in text
    assert f"{data.lengths.max():,}" in text
    assert text.count("█") > 50
    assert "no: it is 13,368" in call("inspect", path, "--limit", 10)


def test_existing_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("mine")
    with pytest.raises(UserError, match="--overwrite"):
        call("synthesize", "-o", path, "--count", 3)
    with pytest.raises(UserError, match="--overwrite"):
        call("prepare", "-o", path, "--tokenizer", "none")
    assert path.read_text() == "mine"
    call("synthesize", "-o", path, "--count", 3, "--lengths", "lognormal", "--overwrite")
    assert Dataset.load(path).count == 3


def test_prepare(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    letters = Tokenizer(models.BPE({chr(i): i - 32 for i in range(32, 127)}, []))
    PreTrainedTokenizerFast(tokenizer_object=letters).save_pretrained(tmp_path / "tokenizer")
    rows = ({"article": f"t{i}", "highlights": "s"} for i in range(9))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = call(
        "prepare",
        "-o",
        tmp_path / "x.json",
        "--tokenizer",
        tmp_path / "tokenizer",
        "--source",
        tmp_path / "a.jsonl",
        "--count",
        4,
    )
    assert "4 samples" in text
    assert Dataset.load(tmp_path / "x.json").count == 4

    call("synthesize", "-o", tmp_path / "y.json", "--count", 2, "--tokenizer", tmp_path / "tokenizer")
    assert Dataset.load(tmp_path / "y.json", vocab_size=95).count == 2


def test_histogram_counts_every_value() -> None:
    values = [1, 1, 2, 100, 1000]
    lines = histogram(values, bins=4)
    assert len(lines) == 4
    assert sum(int(line.split()[3]) for line in lines) == 5
    assert len(histogram([5, 5, 5])) == 1
    assert len(histogram(list(range(100)), bins=16)) == 15
