"""What a checkpoint's config.json says of its number formats (``quantization_config`` as compressed-tensors has it)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def weight_format(stated: Any) -> str | None:
    """``fp8``, ``int4`` and the like: the weights of the linear layers, as a submission names it; None if not said."""
    for group in _groups(stated):
        weights = group.get("weights") or {}
        if weights.get("num_bits"):
            return f"{'fp' if weights.get('type') == 'float' else 'int'}{weights['num_bits']}"
    return None


def activation_scheme(stated: Any) -> str | None:
    """``static`` (scales in the checkpoint), ``dynamic``, or ``none`` (not quantised); None if not said."""
    found = None
    for group in _groups(stated):
        inputs = group.get("input_activations")
        if inputs and inputs.get("dynamic") is False:
            return "static"
        found = "dynamic" if inputs else found or "none"
    return found


def _groups(stated: Any) -> Iterator[Mapping[str, Any]]:
    groups = stated.get("config_groups") if isinstance(stated, Mapping) else None
    for group in (groups or {}).values():
        if isinstance(group, Mapping):
            yield group
