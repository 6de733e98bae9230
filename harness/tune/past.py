"""Every query since the system was last empty, for those who play them again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from harness.tune.correction import History
from sut.policies import Sample
from sut.record import SampleRecord

NAMES = ("sample_id", "issue_ns", "first_token_ns", "complete_ns", "input_tokens", "output_tokens", "worker")
MS = 1e6


def history(records: Iterable[SampleRecord], in_flight: list[Sample], *, output_tokens: int) -> History:
    """What ``records`` hold and what is on its way; that gets ``output_tokens``, being load for the others."""
    rows = [_columns(record) for record in records]
    under_way = [s for s in in_flight if s.worker >= 0]
    rows.append(
        np.array(
            [[s.id, s.issue_ns, s.first_ns or -1, -1, s.length, output_tokens, s.worker] for s in under_way],
            dtype=np.int64,
        ).reshape(-1, len(NAMES))
    )
    table = np.concatenate(rows)
    _, once = np.unique(table[:, 0], return_index=True)  # one may have been done between the two looks
    table = table[once]
    table = table[np.argsort(table[:, 1], kind="stable")]
    ids, issue, first, done, lengths, outputs, worker = table.T
    origin = int(issue[0]) if len(issue) else 0
    return History(
        ids=ids,
        issue_ms=(issue - origin) / MS,
        lengths=lengths,
        outputs=outputs,
        worker=worker,
        first_ms=np.where(first > 0, (first - origin) / MS, np.nan),
        done_ms=np.where(done > 0, (done - origin) / MS, np.nan),
    )


def _columns(record: SampleRecord) -> np.ndarray:
    columns = record.columns
    end = len(columns["attempts"])  # the last column that a row fills
    return np.stack([np.array(columns[name][:end], dtype=np.int64) for name in NAMES], axis=1)


def settled(found: History) -> tuple[int, int]:
    """Positions of the queries whose whole time is known: nothing that arrived meanwhile is missing."""
    done = np.isfinite(found.done_ms)
    if done.all():
        return 0, len(done)
    if not done.any():
        return 0, 0
    latency = float((found.done_ms - found.issue_ms)[done].max())
    return 0, int(np.searchsorted(found.issue_ms, float(found.issue_ms[-1]) - latency))
