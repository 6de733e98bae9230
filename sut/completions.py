"""What LoadGen is told, by the hub's thread alone.

LoadGen drains a log buffer per thread without ordering them, so FirstTokenComplete and QuerySamplesComplete of a sample
must come from the same thread (mlcommons/inference loadgen/logging.cc), or its latency is lost. They give up Python's
lock while they work.
"""

from __future__ import annotations

import mlperf_loadgen as lg
import numpy as np

from sut.hub import Batch


def report(first: Batch, done: Batch) -> None:
    """Tell LoadGen of first tokens and of completions, lists of ``(sample id, int32 LE ids)``."""
    if first:
        _respond(lg.FirstTokenComplete, first)
    if done:
        _respond(lg.QuerySamplesComplete, done)


def _respond(call: object, samples: Batch) -> None:
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
