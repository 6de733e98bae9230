"""measurements.json: what was done to the weights, from what the engine really loaded."""

from __future__ import annotations

from pathlib import Path

from harness.rundir.session import Model
from harness.submission.runs import Run

REFERENCE = "https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct"
UNTRANSFORMED = ("bfloat16", "float16", "float32", "none")  # none: the null engine
SHORT = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "float8_e4m3fn": "fp8", "fp8_e4m3": "fp8"}


def short_format(name: str) -> str:
    """The number format as a submission names it: ``bf16`` for ``bfloat16``."""
    return SHORT.get(name, name)


def starting_weights(model: Model | None) -> str:
    """Where the weights come from: the reference with its revision, or the folder's name of another model."""
    if model is None:
        return "unknown"
    if model.is_llama_3_1_8b or (model.calibration and model.calibration.model.is_llama_3_1_8b):
        return f"{REFERENCE}/tree/{model.revision}" if model.revision else REFERENCE
    return Path(model.path or "unknown").name


def measurements(run: Run) -> dict[str, str]:
    """The five required fields, for the engine and model of ``run`` (mlcommons/policies, model-info metadata)."""
    dtype = run.result.engine.weight_dtype if run.result.engine else None
    weights = short_format(dtype or "unknown")
    transformed = dtype not in UNTRANSFORMED
    return {
        "input_data_types": "int32",
        "retraining": "No",
        "starting_weights_filename": starting_weights(run.result.model),
        "weight_data_types": weights,
        "weight_transformations": f"quantization to {weights} (documentation/calibration.md)" if transformed else "No",
    }
