"""The calibration data: readable by the model, and none of the evaluation's.

Rule: mlcommons/inference_policies inference_rules.adoc, Weight Definition and Quantization: calibration with the
calibration set that MLCommons provides, and no other.
"""

from __future__ import annotations

import re
from pathlib import Path

from harness.inventory.calibration import Compared
from harness.rounds import ROUND
from mlperf_llama_base.errors import UserError
from qsl.dataset import Dataset
from qsl.overlap import marks, shared_rows

EVALUATION_SPLIT = re.compile(r"\b(validation|test)\b")
ALLOWED = "calibrate with MLCommons' calibration set ('data prepare --split train --ids calibration-list.txt')"


def load(path: Path, *, limit: int | None, vocab_size: int | None, max_tokens: int | None) -> Dataset:
    """Read the calibration set. Raises ``UserError`` for one that the model cannot read, or that looks like evaluation
    data: an evaluation's official number of rows, or a label (Parquet) that names another split than ``train``.
    """
    data = Dataset.load(path, limit=limit, vocab_size=vocab_size, max_prompt_tokens=max_tokens)
    for name, benchmark in ROUND.benchmarks.items():
        if data.file_count == benchmark.samples:
            raise UserError(
                f"calibration data {path}: {data.file_count:,} rows is the evaluation set of {name}, which must not be "
                f"calibrated on: {ALLOWED}"
            )
    if found := EVALUATION_SPLIT.search(data.label):
        raise UserError(
            f"calibration data {path} is of the split {found[0]} ({data.label}), which is evaluated: {ALLOWED}"
        )
    return data


def compare(calibration: Dataset, evaluation: Path | None) -> tuple[list[str], Compared | None]:
    """What the calibration rows are known by, and the evaluation set that they were compared with.

    Raises ``UserError`` if they share a row, by article or by token ids.
    """
    known = [mark for row in marks(calibration) for mark in row]
    if evaluation is None:
        return known, None
    other = Dataset.load(evaluation)
    same = other.sha256 == calibration.sha256
    if same or (shared := shared_rows(other, known)):
        what = (
            "is the evaluation set itself" if same else f"shares {len(shared):,} rows with it (row {shared[0]} first)"
        )
        raise UserError(f"calibration data {calibration.path}, compared with {evaluation}: {what}; {ALLOWED}")
    return known, Compared(file=other.path.name, sha256=other.sha256, rows=other.count)
