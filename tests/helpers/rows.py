"""Data sets in MLCommons' JSON form."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np


def row(ids: Sequence[Any], *, article: str = "", summary: str = "") -> dict[str, Any]:
    """One sample: the prompt as token ids, the article, the reference summary."""
    return {"instruction": "", "input": article, "tok_input": list(ids), "output": summary}


def rows(count: int, *, length: int = 24, vocabulary: int = 500, seed: int = 1) -> list[dict[str, Any]]:
    """Samples of random length, with random ids above the special ones."""
    random = np.random.default_rng(seed)
    return [
        row(
            random.integers(10, vocabulary, int(random.integers(3, length))).tolist(),
            article=f"Article {i}.",
            summary=f"Summary {i} says so.",
        )
        for i in range(count)
    ]


def write_rows(path: Path, rows: Iterable[Any]) -> Path:
    """Write ``rows`` to ``path``."""
    path.write_text(json.dumps(list(rows)))
    return path
