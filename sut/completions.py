"""What LoadGen is told, by the hub's thread alone.

LoadGen drains a log buffer per thread without ordering them, so FirstTokenComplete and QuerySamplesComplete of a sample
must come from the same thread (mlcommons/inference loadgen/logging.cc), or its latency is lost. They give up Python's
lock while they work.
"""

from __future__ import annotations

import mlperf_loadgen as lg
import numpy as np

from sut.dispatching import Batch
from sut.front.rows import Rows

AT_ONCE = 1024  # more are told in parts


def report(first: Batch, done: Batch) -> None:
    """Tell LoadGen of first tokens and of completions, lists of ``(sample id, int32 LE ids)``."""
    for start in range(0, len(first), AT_ONCE):
        lg.FirstTokenComplete(_first.fill(first[start : start + AT_ONCE]))
    for start in range(0, len(done), AT_ONCE):
        lg.QuerySamplesComplete(_done.fill(done[start : start + AT_ONCE]))


def report_rows(first: Rows, done: Rows) -> None:
    """The same of samples whose tokens are the rows of an array."""
    for start in range(0, len(first.ids), AT_ONCE):
        lg.FirstTokenComplete(_first.fill_rows(first, start))
    for start in range(0, len(done.ids), AT_ONCE):
        lg.QuerySamplesComplete(_done.fill_rows(done, start))


class Responses:
    """LoadGen's response objects, used again: making one costs more than to put another sample's id into it.

    Each points at a place of its own for its answer's bytes, ``_room`` of them; LoadGen copies those during the call.
    """

    def __init__(self) -> None:
        self._made: list[lg.QuerySampleResponse] = []
        self._sizes: list[int] = []  # as the responses have them
        self._room = 0
        self._bytes = np.empty(0, np.uint8)

    def fill(self, samples: Batch) -> list[lg.QuerySampleResponse]:
        """A response for each sample, :data:`AT_ONCE` at most, good until the next call."""
        count, sizes = len(samples), [len(tokens) for _, tokens in samples]
        if (longest := max(sizes)) > self._room:
            self._make(room=longest)
        room, places = self._room, self._bytes.data
        if min(sizes) == room:
            places[: count * room] = b"".join([tokens for _, tokens in samples])
        else:
            for at, (_, tokens) in enumerate(samples):
                places[at * room : at * room + sizes[at]] = tokens
        return self._tell([sample_id for sample_id, _ in samples], sizes)

    def fill_rows(self, rows: Rows, start: int) -> list[lg.QuerySampleResponse]:
        """The same for at most :data:`AT_ONCE` of ``rows``, from ``start`` on."""
        ids, tokens = rows.ids[start : start + AT_ONCE], rows.tokens[start : start + AT_ONCE]
        count, width = tokens.shape
        if width > self._room:
            self._make(room=width)
        self._bytes.reshape(AT_ONCE, self._room)[:count, :width] = tokens
        return self._tell(ids, rows.sizes[start : start + AT_ONCE].tolist())

    def _tell(self, ids: list[int], sizes: list[int]) -> list[lg.QuerySampleResponse]:
        made = self._made[: len(ids)]
        for response, sample_id in zip(made, ids, strict=True):
            response.id = sample_id
        known = self._sizes[: len(ids)]
        if sizes != known:
            for response, size, before in zip(made, sizes, known, strict=True):
                if size != before:
                    response.size, response.n_tokens = size, size >> 2
            self._sizes[: len(ids)] = sizes
        return made

    def _make(self, *, room: int) -> None:
        self._room, self._bytes = room, np.zeros(AT_ONCE * room, np.uint8)
        start = self._bytes.__array_interface__["data"][0]
        self._made = [lg.QuerySampleResponse(0, start + at * room, room, room >> 2) for at in range(AT_ONCE)]
        self._sizes = [room] * AT_ONCE


_first, _done = Responses(), Responses()
