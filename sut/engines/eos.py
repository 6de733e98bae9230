"""Which ids end an answer: one reading of a model's two files, for the engines and for who inspects the model."""

from __future__ import annotations

from typing import Any

from mlperf_llama_base.errors import UserError


def eos_ids(generation: Any, config: Any, *, model: str) -> list[int]:
    """The EOS ids of a model from ``eos_token_id`` of its generation_config.json and of its config.json.

    The first wins; ``null``, an empty list and no entry at all mean the same there: it does not say. Raises
    ``UserError`` for what is neither an id nor a list of ids.
    """
    for value in (generation, config):
        ids = value if isinstance(value, list | tuple) else [] if value is None else [value]
        if not all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in ids):
            raise UserError(f"model {model}: eos_token_id is {value!r}, neither a token id nor a list of them")
        if ids:
            return [int(i) for i in ids]
    return []
