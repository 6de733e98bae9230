"""Evaluation data are no calibration data, however they come."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.calibrate import data
from harness.rounds import ROUND
from mlperf_llama_base.errors import UserError
from qsl.dataset import Dataset
from qsl.formats import open_writer
from qsl.rows import Row
from tests.helpers.rows import row, rows, write_rows


def load(path: Path) -> Dataset:
    return data.load(path, limit=None, vocab_size=500, max_tokens=100)


def test_the_evaluation_set_itself_or_a_part_of_it(tmp_path: Path) -> None:
    evaluation = write_rows(tmp_path / "eval.json", rows(40))
    with pytest.raises(UserError, match="is the evaluation set itself"):
        data.compare(load(evaluation), evaluation)
    part = write_rows(tmp_path / "part.json", [row([1, 2], article="New."), rows(40)[7]])
    with pytest.raises(UserError, match=r"shares 1 rows with it \(row 7 first\).*calibration-list.txt"):
        data.compare(load(part), evaluation)
    fine = write_rows(tmp_path / "fine.json", [row([1, 2], article="New.")])
    marks, compared = data.compare(load(fine), evaluation)
    assert len(marks) == 2
    assert compared and compared.rows == 40
    assert data.compare(load(fine), None)[1] is None


def test_an_official_count(tmp_path: Path) -> None:
    count = ROUND.benchmarks["edge"].samples
    path = write_rows(tmp_path / "x.json", [row([i % 400, 1]) for i in range(count)])
    with pytest.raises(UserError, match="5,000 rows is the evaluation set of edge"):
        load(path)


def test_a_label_of_another_split(tmp_path: Path) -> None:
    for split, refused in (("train, 1 rows of list.txt", False), ("validation", True)):
        path = tmp_path / "x.parquet"
        with open_writer(path, label=f"cnn_dailymail 3.0.0 {split}", instruction="") as writer:
            writer.write(Row("An article.", [1, 2], "A summary."))
        if refused:
            with pytest.raises(UserError, match="of the split validation"):
                load(path)
        else:
            assert load(path).count == 1
