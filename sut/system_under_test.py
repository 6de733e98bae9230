"""LoadGen's two callbacks. ``issue`` only enqueues: it runs on LoadGen's thread, and Server's clock counts from the
scheduled time. A sample's way: ``issue`` → hub → worker → hub → completions → QuerySamplesComplete."""

from __future__ import annotations

import time

from sut.dispatching import Dispatching


class SystemUnderTest:
    """``issue`` and ``flush`` for ``ConstructFastSUT``. An exception must never reach LoadGen: it would crash."""

    def __init__(self, hub: Dispatching) -> None:
        self._hub = hub

    def issue(self, ids: list[int], indices: list[int]) -> None:
        """LoadGen's sample ids and the samples' indices in the data set. Time counts from here, as near as we come to
        LoadGen's clock: it started before it made the lists.
        """
        at_ns = time.perf_counter_ns()
        self._hub.take(ids, indices, at_ns)

    def flush(self) -> None:
        """Nothing is held back, so there is nothing to flush."""
