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

    def __len__(self) -> int:
        return len(self.columns["attempts"])  # the last column that a row fills

    def add(self, samples: Sequence[Sample], answers: Sequence[bytes], now_ns: int) -> None:
        """Append a row for each of ``samples``, which were completed with these ids (int32 LE) at ``now_ns``."""
        for sample, tokens in zip(samples[: ANSWERS - len(self.answers)], answers, strict=False):
            self.answers.append((sample.index, sample.worker, tokens))
        rows = (
            [s.id for s in samples],
            [s.index for s in samples],
            [s.issue_ns for s in samples],
            [s.dispatch_ns for s in samples],
            [s.first_ns for s in samples],
            [now_ns] * len(samples),
            [s.length for s in samples],
            [len(tokens) >> 2 for tokens in answers],
            [s.worker for s in samples],
            [min(s.attempts, 127) for s in samples],
        )
        for column, values in zip(self.columns.values(), rows, strict=True):
            column.extend(values)

    def add_columns(self, columns: Sequence[bytes], answers: Sequence[bytes]) -> None:
        """Append rows that another record has had (:meth:`take`). ``answers``: ids of the first of them."""
        places = {name: at for at, name in enumerate(self.COLUMNS)}
        index, worker = (array(self.COLUMNS[n], columns[places[n]]) for n in ("qsl_idx", "worker"))
        for i, w, tokens in zip(index[: ANSWERS - len(self.answers)], worker, answers, strict=False):
            self.answers.append((i, w, tokens))
        for column, values in zip(self.columns.values(), columns, strict=True):
            column.frombytes(values)

    def take(self) -> list[bytes]:
        """All rows, as the bytes of each column, and forget them."""
        taken = [column.tobytes() for column in self.columns.values()]
        for column in self.columns.values():
            del column[:]
        return taken

    def column(self, name: str) -> np.ndarray[Any, Any]:
        """A copy of a column, of the rows that are whole: another thread may be adding some."""
        return self.rows([name])[0]

    def rows(self, names: Sequence[str], *, first: int = 0) -> list[np.ndarray[Any, Any]]:
        """Copies of these columns from row ``first`` on, as far as every row is whole."""
        whole = len(self)
        return [np.array(self.columns[name][first:whole]) for name in names]

    def percentiles(self) -> tuple[float | None, float | None]:
        """p99 of TTFT and of TPOT in ms over the last samples, ``None`` without first tokens."""
        names = ("issue_ns", "first_token_ns", "complete_ns", "output_tokens")
        issue, first, end, tokens = self.rows(names, first=max(0, len(self) - RECENT))
        seen = first > 0
        if not seen.any():
            return None, None
        ttft = (first - issue)[seen] / 1e6
        tpot = ((end - first) / np.maximum(tokens - 1, 1))[seen] / 1e6
        return float(np.percentile(ttft, 99)), float(np.percentile(tpot, 99))
