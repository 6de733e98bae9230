"""A model that was calibrated on the data of the run is found out before the run."""

from __future__ import annotations

from pathlib import Path

import msgspec

from harness.inventory.calibration import FILE, CalibrationData, CalibrationRecord, Recipe, SourceModel
from harness.preflight.base import Finding, Status
from harness.preflight.calibration import CalibrationData as Check
from qsl.dataset import Dataset
from qsl.overlap import marks
from tests.harness.preflight.fakes import make, model_folder
from tests.helpers.rows import rows, write_rows

WORDS = dict.fromkeys(("weights", "activations", "kv_cache", "last_layer", "method"), "")


def calibrated(folder: Path, data: Path) -> Path:
    """A model folder with the record of a calibration on ``data``."""
    found = Dataset.load(data)
    record = CalibrationRecord(
        made="2026-11-26T12:00:00+00:00",
        model=SourceModel(path="x", digest="d"),
        data=CalibrationData(
            file=data.name, sha256=found.sha256, format="", label="", rows=found.count, file_rows=9, tokens=1
        ),
        recipe=Recipe(scheme="fp8", **WORDS),
        scales={},
        versions={},
        device="cpu",
        seconds=1.0,
        marks=[mark for row in marks(found) for mark in row],
    )
    (folder / FILE).write_bytes(msgspec.json.encode(record))
    return folder


def test_rows_in_common_are_told_and_cannot_be_submitted(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    data = write_rows(tmp_path / "eval.json", rows(30))

    def run() -> Finding:
        return Check().run(make(model__path=str(folder), dataset__path=str(data)))

    assert "no record of a calibration" in run().found

    other = [row | {"input": f"New {i}."} for i, row in enumerate(rows(5, seed=7))]
    calibrated(folder, write_rows(tmp_path / "calibration.json", other))
    finding = run()
    assert finding.status is Status.PASS and "5 rows of calibration.json" in finding.found

    calibrated(folder, write_rows(tmp_path / "calibration.json", [*other, rows(30)[12]]))
    finding = run()
    assert finding.status is Status.WARN and finding.blocks_submission
    assert finding.found.startswith("1 rows of the data set are among") and "the first is row 12" in finding.found

    (folder / FILE).write_text("[]")
    assert run().status is Status.FAIL
