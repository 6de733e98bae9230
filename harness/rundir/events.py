"""events.parquet as arrays: a row for each completed sample, by the harness's own clock."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.rundir.files import damaged
from harness.rundir.names import SIGNED

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
TIMES = ("issue", "dispatch", "first_token", "complete")
COUNTS = ("qsl_idx", "input_tokens", "output_tokens", "worker", "attempts")


@dataclass(frozen=True, kw_only=True)
class Events:
    """A row a completed sample, shape [n] each. Times in seconds since the first issue; NaN: never happened."""

    qsl_idx: Ints
    issue: Floats
    dispatch: Floats
    first_token: Floats
    complete: Floats
    input_tokens: Ints
    output_tokens: Ints
    worker: Ints
    attempts: Ints

    def __len__(self) -> int:
        return len(self.complete)

    @cached_property
    def latency(self) -> Floats:
        """Seconds from issue to completion, as the harness saw it."""
        return self.complete - self.issue

    @cached_property
    def in_hand(self) -> Floats:
        """Seconds from when a worker was given it to completion: a request's own time, without the wait before."""
        return self.complete - self.dispatch

    @cached_property
    def ttft(self) -> Floats:
        """Seconds from issue to first token."""
        return self.first_token - self.issue

    @cached_property
    def tpot(self) -> Floats:
        """Seconds for each token after the first; NaN for samples of one token."""
        after = np.where(self.output_tokens > 1, self.output_tokens - 1, np.nan)
        return np.asarray((self.complete - self.first_token) / after)

    @property
    def duration(self) -> float:
        """Seconds from the first issue to the last completion."""
        return float(np.nanmax(self.complete)) if len(self.complete) else 0.0

    @property
    def has_first_tokens(self) -> bool:
        return bool(np.isfinite(self.first_token).any())

    def of(self, workers: list[int]) -> Events:
        """Those that these workers completed."""
        mine = np.isin(self.worker, workers)
        return Events(**{field.name: getattr(self, field.name)[mine] for field in fields(self)})


def read_events(path: Path) -> Events | None:
    """Read events.parquet; None if it is missing. Samples that never completed are left out.

    Raises ``UserError`` if it is damaged or lacks a column.
    """
    columns = read_columns(path)
    if columns is None:
        return None
    try:
        done = np.isfinite(np.asarray(columns["complete_ns"], dtype=np.float64))
        issue, dispatch, first_token, complete = (
            np.asarray(columns[f"{name}_ns"], dtype=np.float64)[done] / 1e9 for name in TIMES
        )
        qsl_idx, input_tokens, output_tokens, worker, attempts = (
            np.asarray(columns[name])[done].astype(np.int64) for name in COUNTS
        )
    except KeyError as error:
        raise damaged(path, f"it has no column {error}; it was not written by this program") from error
    except (TypeError, ValueError) as error:
        raise damaged(path, error) from error
    return Events(
        qsl_idx=qsl_idx,
        issue=issue,
        dispatch=dispatch,
        first_token=first_token,
        complete=complete,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        worker=worker,
        attempts=attempts,
    )


def read_signed(path: Path) -> dict[str, str]:
    """Digests by file name of what the test left beside events.parquet, from its metadata; none in an older one's.

    Raises ``UserError`` if it is damaged.
    """
    if not path.is_file():
        return {}
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise damaged(path, error) from error
    said = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in metadata.items()}
    return {name: said[name] for name in SIGNED if name in said}


def read_columns(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    """Every column of a Parquet file; None if it is missing. Raises ``UserError`` if it is damaged."""
    if not path.is_file():
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise damaged(path, error) from error
    return {name: table[name].to_numpy() for name in table.schema.names}
