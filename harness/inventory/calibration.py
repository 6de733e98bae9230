"""calibration.json: what a folder that ``mlperf-llama calibrate`` wrote says of where its numbers come from.

It travels with the weights, so that a run can put it into result.json, pre-flight can compare the calibration data with
the data set of the run, and a submission's calibration.md can describe the method, which the rules want public
(mlcommons/inference_policies inference_rules.adoc, Weight Definition and Quantization).
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from mlperf_llama_base import typed
from mlperf_llama_base.errors import UserError

FILE = "calibration.json"


class SourceModel(msgspec.Struct, kw_only=True):
    """The checkpoint that was calibrated. ``digest``: as ``ModelInfo`` has it."""

    path: str
    digest: str
    revision: str | None = None
    is_llama_3_1_8b: bool = False


class CalibrationData(msgspec.Struct, kw_only=True):
    """What the scales were measured on. ``rows``: those used, of ``file_rows`` in the file."""

    file: str
    sha256: str
    format: str
    label: str
    rows: int
    file_rows: int
    tokens: int


class Recipe(msgspec.Struct, kw_only=True):
    """What became of the numbers, in words, and ``text``: llm-compressor's own recipe (YAML)."""

    scheme: str
    weights: str
    activations: str
    kv_cache: str
    last_layer: str
    method: str
    text: str = ""


class Compared(msgspec.Struct, kw_only=True):
    """The evaluation set that the calibration data were compared with, and found to share no row with."""

    file: str
    sha256: str
    rows: int


class CalibrationRecord(msgspec.Struct, kw_only=True):
    """``made``: UTC, ISO 8601. ``marks``: what the rows are known by (``qsl.overlap``); left out of result.json.

    ``scales``: how many the checkpoint holds, by kind.
    """

    schema_version: int = 1
    made: str
    model: SourceModel
    data: CalibrationData
    recipe: Recipe
    scales: dict[str, int]
    compared: Compared | None = None
    versions: dict[str, str]
    device: str
    seconds: float
    marks: list[str] = []

    @property
    def without_marks(self) -> CalibrationRecord:
        """For a record of a run: 40 kB less."""
        return msgspec.structs.replace(self, marks=[])


def read_calibration(folder: Path | str) -> CalibrationRecord | None:
    """The record in a model folder; None if it has none. Raises ``UserError`` for one that cannot be read."""
    path = Path(folder) / FILE
    try:
        return typed.from_json(path.read_bytes(), CalibrationRecord)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be read ({error}): it says what the model was calibrated on; copy the folder again, or "
            "make it anew with 'mlperf-llama calibrate'"
        ) from error
