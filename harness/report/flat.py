"""Nested settings as flat ones, to be listed and compared."""

from __future__ import annotations

from typing import Any

import msgspec


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return ``{"engine.args.max_num_seqs": 512}`` for nested mappings; lists and scalars are values."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + str(key)] = value
    return flat


def flatten_record(record: msgspec.Struct | None) -> dict[str, Any]:
    """As :func:`flatten`, for a record; empty if there is none."""
    return {} if record is None else flatten(msgspec.to_builtins(record))


def value_text(value: Any) -> str:
    """Return a setting's value as one line."""
    if value is None or value in ("", [], {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return plain(value)
    if isinstance(value, list):
        return ", ".join(value_text(item) for item in value)
    return " ".join(str(value).split())


def plain(value: float) -> str:
    """Six significant digits, and no exponent between a millionth and a quadrillion: ``7350880``, not "
    "``7.35088e+06``."""
    text = f"{value:.6g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e15 else text
