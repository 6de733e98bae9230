"""What a finished checkpoint holds, counted, and refused if a scale is missing or no number."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from harness.calibrate.scheme import Activations, KvCache, Plan, Scheme
from mlperf_llama_base.errors import RunError

SCALES = ("weight_scale", "input_scale", "k_scale", "v_scale")


def check_scales(folder: Path, plan: Plan) -> dict[str, int]:
    """Count the scales in the folder's safetensors by kind.

    Raises ``RunError`` where a kind that ``plan`` asks for is not there, or one is zero, negative, infinite or NaN.
    """
    import torch
    from safetensors import safe_open

    found: Counter[str] = Counter()
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  (no dict)
                kind = name.rpartition(".")[2]
                if kind not in SCALES:
                    continue
                value = tensors.get_tensor(name).float()
                if not (torch.isfinite(value).all() and (value > 0).all()):
                    raise RunError(f"{name} of the calibrated model is not a positive number: the calibration failed")
                found[kind] += 1
    if missing := [kind for kind in _wanted(plan) if not found[kind]]:
        raise RunError(f"the calibrated model has no {' and no '.join(missing)}: the calibration failed")
    return dict(found)


def _wanted(plan: Plan) -> list[str]:
    static = plan.activations is Activations.STATIC and plan.scheme is not Scheme.W4A16
    return [
        "weight_scale",
        *(["input_scale"] if static else []),
        *(["k_scale", "v_scale"] if plan.kv_cache is KvCache.FP8 else []),
    ]
