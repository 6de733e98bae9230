"""A few summaries beside their references, from the run's own files, and only from them."""

from __future__ import annotations

from pathlib import Path

from harness.report.load import load
from harness.report.summaries import examples
from tests.harness.fake_run import write_run


def test_no_texts_without_the_files(tmp_path: Path) -> None:
    run = load(write_run(tmp_path / "run", samples=100))
    assert examples(run, [1, 2]) == []  # neither data set nor tokenizer nor accuracy log is there
