"""How real queries differ from the same queries played: one factor for the pace of the steps, almost without noise.

A probe's own arrivals, prompts and answers go through the step times; what chance did to them it did to both. So twenty
seconds tell the pace to a few tenths of a percent, where their 99th percentile alone would be off by several.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from harness.rundir.tuning import Correction
from harness.tune.playback import Floats, Played, Player, play

Ints = npt.NDArray[np.int64]
TURNS = 6
CLOSE = 5e-4
LEAST_ERROR = 1e-3
FEWEST = 20  # queries of a worker that tell its pace
STEEPNESS = 3.0  # e-folds of TPOT for each of the pace, at first: slower steps leave more sequences in each
LEAST_STEEPNESS, MOST_STEEPNESS = 1.0, 20.0
STRIDE = 0.1  # most that a turn may change the pace by, as a logarithm


@dataclass(frozen=True, kw_only=True)
class History:
    """Queries since the system was last empty, in the order of their arrival, shape [n] each: ids; ms of one clock;
    tokens. NaN where it has not come yet; ``worker``: who had it."""

    ids: Ints
    issue_ms: Floats
    lengths: Ints
    outputs: Ints
    worker: Ints
    first_ms: Floats
    done_ms: Floats

    @property
    def ttft_ms(self) -> Floats:
        return self.first_ms - self.issue_ms

    @property
    def tpot_ms(self) -> Floats:
        return np.asarray((self.done_ms - self.first_ms) / np.maximum(self.outputs - 1, 1))

    def of(self, worker: int) -> History:
        mine = self.worker == worker
        return History(**{name: getattr(self, name)[mine] for name in self.__dataclass_fields__})


def correct(
    player: Player, history: History, *, judged: tuple[int, int], source: str, rate: float, start: float = 1.0
) -> Correction | None:
    """The pace at which ``player`` gives the queries with ids in ``judged`` (first, end) the latencies that they had.

    ``start``: a first guess of it. ``None`` where too few of them are done.
    """
    found = [
        (worker, one)
        for worker in np.unique(history.worker).tolist()
        if (one := _of_worker(player, history.of(worker), judged=judged, start=start)) is not None
    ]
    if not found:
        return None
    logs = np.array([math.log(one.pace) for _, one in found])
    weights = np.array([one.queries for _, one in found], dtype=float)
    error = math.sqrt(float((weights**2 * np.array([one.error for _, one in found]) ** 2).sum())) / weights.sum()
    return Correction(
        source=source,
        rate=rate,
        pace=math.exp(float(np.average(logs, weights=weights))),
        error=max(float(error), LEAST_ERROR),
        paces={str(worker): one.pace for worker, one in found},
        ttft_ms=float(np.average([one.ttft_ms for _, one in found], weights=weights)),
        queries=int(weights.sum()),
    )


@dataclass(frozen=True, kw_only=True)
class _Pace:
    pace: float
    error: float
    ttft_ms: float
    queries: int


def _of_worker(player: Player, history: History, *, judged: tuple[int, int], start: float) -> _Pace | None:
    mine = (history.ids >= judged[0]) & (history.ids < judged[1]) & np.isfinite(history.done_ms) & (history.outputs > 1)
    if int(mine.sum()) < FEWEST:
        return None
    log_pace, steepness, before = math.log(start), STEEPNESS, None
    for _ in range(TURNS):
        played = _replay(replace(player, pace=math.exp(log_pace)), history)
        log_ratio = _log_ratio(history, played, mine)
        off = float(log_ratio.mean())
        if before is not None and before[0] != log_pace:
            measured = (before[1] - off) / (log_pace - before[0])
            steepness = min(max(measured, LEAST_STEEPNESS), MOST_STEEPNESS)
        if abs(off) < CLOSE:
            break
        before = (log_pace, off)
        log_pace += min(max(off / steepness, -STRIDE), STRIDE)
    return _Pace(
        pace=math.exp(log_pace),
        error=_error(log_ratio, history, mine) / steepness,
        ttft_ms=max(float(np.median((history.ttft_ms - played.ttft_ms)[mine])), 0.0),
        queries=int(mine.sum()),
    )


def _replay(player: Player, history: History) -> Played:
    began = float(history.issue_ms[0])
    return play(
        player,
        arrival_ms=history.issue_ms - began,
        lengths=history.lengths.astype(np.int32),
        outputs=history.outputs.astype(np.int32),
    )


def _log_ratio(history: History, played: Played, mine: npt.NDArray[np.bool_]) -> Floats:
    """Log of TPOT measured / played, of the slower half: the limit is met by those. By both values together, since
    those that are slow by one alone would lean to it."""
    measured, expected = history.tpot_ms[mine], np.maximum(played.tpot_ms[mine], 1e-6)
    both = np.log(np.maximum(measured, 1e-6)) + np.log(expected)
    slow = both >= np.median(both)
    return np.asarray(np.log(np.maximum(measured, 1e-6) / expected)[slow])


def _error(log_ratio: Floats, history: History, mine: npt.NDArray[np.bool_]) -> float:
    """Standard error of their mean: queries of one time share their steps, so as many as latencies fit are counted."""
    span = float(np.ptp(history.issue_ms[mine]))
    latency = float(np.median((history.done_ms - history.issue_ms)[mine]))
    blocks = int(min(max(span / max(latency, 1.0), 2.0), len(log_ratio)))
    means = np.array([part.mean() for part in np.array_split(log_ratio, blocks) if len(part)])
    return float(means.std(ddof=1) / math.sqrt(len(means))) if len(means) > 1 else float(log_ratio.std())
