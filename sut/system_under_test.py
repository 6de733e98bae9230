"""LoadGen's two callbacks. ``issue`` only enqueues: it runs on LoadGen's thread, and Server's clock counts from the
scheduled time. A sample's way: ``issue`` → hub → worker → hub → completions → QuerySamplesComplete."""

from __future__ import annotations

import time
from typing import Any

from sut.hub import Hub


class SystemUnderTest:
    """``issue`` and ``flush`` for ``ConstructSUT``. An exception must never reach LoadGen: it would end in a crash."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def issue(self, samples: list[Any]) -> None:
        """``samples``: LoadGen's QuerySample objects (``id``, ``index``). Time counts from here, as near as we come to
        LoadGen's clock: it started before it made the objects.
        """
        at_ns = time.perf_counter_ns()
        self._hub.issue([(s.id, s.index) for s in samples], at_ns)

    def flush(self) -> None:
        """Nothing is held back, so there is nothing to flush."""
