"""Model folders that hold a ``config.json`` alone, to measure speed on machines without the weights.

``--model shape:llama-3.1-8b`` runs an engine at that shape with random weights; such a run is never submittable.
The numbers are the public architecture of Llama-3.1-8B-Instruct. ``llama-3.1-8b-fp8-static`` describes the same model
as a calibrated FP8 checkpoint does (``activation_scheme: static``), for engines that fuse the scaling.
"""

from __future__ import annotations

from pathlib import Path

from mlperf_llama_base.errors import UserError, nearest

PREFIX = "shape:"


def is_shape(model: str) -> bool:
    """Tell whether ``model`` names one of these folders (``shape:NAME``)."""
    return model.startswith(PREFIX)


def resolve(model: str) -> str:
    """Return the folder of ``shape:NAME``, and anything else unchanged. Raises ``UserError`` for an unknown name."""
    if not is_shape(model):
        return model
    name = model.removeprefix(PREFIX)
    known = sorted(p.parent.name for p in Path(__file__).parent.glob("*/config.json"))
    if name not in known:
        raise UserError(f"model {model!r} is not known{nearest(name, known)} (shapes: {', '.join(known)})")
    return str(Path(__file__).parent / name)
