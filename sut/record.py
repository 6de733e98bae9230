"""A row for each completed sample, and running percentiles for the display. Appending is all that the hot path pays."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from sut.policies import Sample

RECENT = 20_000
ANSWERS = 3  # kept whole, so that a person can see what is answered at all


class SampleRecord:
    """Columns of ``events.parquet``. Times in ns on one monotonic clock.

    ``answers``: index, worker and token ids (int32, little-endian) of the first samples that were completed.
    """

    COLUMNS: ClassVar[dict[str, str]] = {
        "sample_id": "Q",
        "qsl_idx": "i",
        "issue_ns": "q",
        "dispatch_ns": "q",
        "first_token_ns": "q",
        "complete_ns": "q",
        "input_tokens": "i",
        "output_tokens": "i",
        "worker": "h",
        "attempts": "b",
    }

    def __init__(self) -> None:
        self.columns = {name: array(kind) for name, kind in self.COLUMNS.items()}
        self.answers: list[tuple[int, int, bytes]] = []
        self._append = tuple(column.append for column in self.columns.values())

    def __len__(self) -> int:
        return len(self.columns["complete_ns"])

    def add(self, sample: Sample, output_tokens: int, now_ns: int) -> None:
        row = (
            sample.id,
            sample.index,
            sample.issue_ns,
            sample.dispatch_ns,
            sample.first_ns,
            now_ns,
            sample.length,
            output_tokens,
            sample.worker,
            min(sample.attempts, 127),
        )
        for append, value in zip(self._append, row, strict=True):
            append(value)

    def column(self, name: str, *, last: int | None = None) -> np.ndarray[Any, Any]:
        """A copy of a column (of its last rows)."""
        column = self.columns[name]
        return np.array(column[-last:] if last else column)

    def rows(self, names: Sequence[str], *, first: int = 0) -> list[np.ndarray[Any, Any]]:
        """Copies of these columns from row ``first`` on, as far as every row is whole."""
        whole = min(map(len, self.columns.values()))
        return [np.array(self.columns[name][first:whole]) for name in names]

    def percentiles(self) -> tuple[float | None, float | None]:
        """p99 of TTFT and of TPOT in ms over the last samples, ``None`` without first tokens."""
        n = min(len(self), RECENT)
        if not n:
            return None, None
        issue, first, end, tokens = (
            self.column(name, last=n)[:n] for name in ("issue_ns", "first_token_ns", "complete_ns", "output_tokens")
        )
        n = min(map(len, (issue, first, end, tokens)))
        issue, first, end, tokens = issue[:n], first[:n], end[:n], tokens[:n]
        seen = first > 0
        if not seen.any():
            return None, None
        ttft = (first - issue)[seen] / 1e6
        tpot = ((end - first) / np.maximum(tokens - 1, 1))[seen] / 1e6
        return float(np.percentile(ttft, 99)), float(np.percentile(tpot, 99))
