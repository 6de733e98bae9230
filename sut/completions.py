"""The one thread that speaks to LoadGen.

LoadGen drains a log buffer per thread without ordering them, so FirstTokenComplete and QuerySamplesComplete of a sample
must come from the same thread (mlcommons/inference loadgen/logging.cc), or its latency is lost.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue

import mlperf_loadgen as lg
import numpy as np

Batch = tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]


class Completions(threading.Thread):
    """Takes ``(first tokens, completions)``, lists of ``(sample id, int32 LE ids)``, and reports them in batches."""

    def __init__(self) -> None:
        super().__init__(name="completions", daemon=True)
        self._queue: SimpleQueue[Batch | None] = SimpleQueue()
        self.error: BaseException | None = None

    def put(self, first: list[tuple[int, bytes]], done: list[tuple[int, bytes]]) -> None:
        self._queue.put((first, done))

    def stop(self) -> None:
        self._queue.put(None)

    def run(self) -> None:
        try:
            while (batch := self._queue.get()) is not None:
                first, done = batch
                if first:
                    report_first(first)
                if done:
                    report_done(done)
        except Exception as error:  # noqa: BLE001  the session ends the run with it
            self.error = error


def report_first(samples: list[tuple[int, bytes]]) -> None:
    """Tell LoadGen of first tokens."""
    _respond(lg.FirstTokenComplete, samples)


def report_done(samples: list[tuple[int, bytes]]) -> None:
    """Tell LoadGen of completions."""
    _respond(lg.QuerySamplesComplete, samples)


def _respond(call: object, samples: list[tuple[int, bytes]]) -> None:
    """Call LoadGen with one response a sample. It copies the bytes during the call, so one joined buffer serves."""
    joined = b"".join([tokens for _, tokens in samples])
    at = np.frombuffer(joined, dtype=np.uint8).__array_interface__["data"][0]
    responses = []
    make = lg.QuerySampleResponse
    for sample_id, tokens in samples:
        size = len(tokens)
        responses.append(make(sample_id, at, size, size >> 2))
        at += size
    call(responses)  # type: ignore[operator]
