"""Engines that break in ways that the null engine's faults do not have. Named to workers as ``MODULE:CLASS``."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import Any

from sut.engines.null import NullEngine
from sut.messages import EngineInfo


class NeverCloses(NullEngine):
    """As a driver does after a fault of the device: the call that should release it does not return."""

    def close(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(3600)


class LeavesSomethingBehind(NullEngine):
    """Starts a process of a session of its own, which no signal to the worker's group reaches."""

    def load(self) -> EngineInfo:
        command = [sys.executable, "-c", "import time; time.sleep(3600)", "left-behind"]
        self.other = subprocess.Popen(command, start_new_session=True)
        return super().load()


class BreaksTheWire(NullEngine):
    """What the heartbeat asks of the engine raises."""

    def live_facts(self) -> dict[str, Any]:
        raise ValueError("no such counter")


class HasNothingBeforeItIsLoaded(NullEngine):
    """Makes what it counts its requests with in ``load``, and not at once."""

    _loaded = False

    def load(self) -> EngineInfo:
        time.sleep(0.5)  # several heartbeats
        self._loaded = True
        return super().load()

    @property
    def outstanding(self) -> int:
        if not self._loaded:
            raise AttributeError("no attribute 'waiting'")
        return super().outstanding


class CannotBeBuilt(NullEngine):
    """Raises what no engine should."""

    def __init__(self, settings: Any) -> None:
        raise ZeroDivisionError("an engine of somebody else's")
