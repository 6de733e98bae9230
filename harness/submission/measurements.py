"""measurements.json: what was done to the weights, from what the engine really loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.submission.runs import Run

REFERENCE = "https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct"
UNTRANSFORMED = ("bfloat16", "float16", "float32", "none")  # none: the null engine
SHORT = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "float8_e4m3fn": "fp8", "fp8_e4m3": "fp8"}


def short_format(name: str) -> str:
    """The number format as a submission names it: ``bf16`` for ``bfloat16``."""
    return SHORT.get(name, name)


def starting_weights(model: dict[str, Any]) -> str:
    """Where the weights come from: the reference with its revision, or the folder's name of another model."""
    revision = model.get("revision")
    if model.get("is_llama_3_1_8b"):
        return f"{REFERENCE}/tree/{revision}" if revision else REFERENCE
    return Path(str(model.get("path") or "unknown")).name


def measurements(run: Run) -> dict[str, str]:
    """The five required fields, for the engine and model of ``run`` (mlcommons/policies, model-info metadata)."""
    engine = run.result.get("engine") or {}
    weights = short_format(str(engine.get("weight_dtype") or "unknown"))
    transformed = str(engine.get("weight_dtype")) not in UNTRANSFORMED
    return {
        "input_data_types": "int32",
        "retraining": "No",
        "starting_weights_filename": starting_weights(run.result.get("model") or {}),
        "weight_data_types": weights,
        "weight_transformations": f"quantization to {weights} (documentation/calibration.md)" if transformed else "No",
    }
