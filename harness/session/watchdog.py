"""The run's own watchdog: LoadGen would wait forever for a sample that nobody works on any longer."""

from __future__ import annotations

from mlperf_llama_base.errors import RunError
from sut.awake import AwakeClock
from sut.dispatching import Dispatching

LONGEST_STEP_S = 2.0  # four times what is usual between two looks


class Watchdog:
    """To be asked about twice a second. ``stall_timeout_s``: for how long nothing may happen while samples wait."""

    def __init__(self, hub: Dispatching, *, stall_timeout_s: float, clock: AwakeClock | None = None) -> None:
        self._hub = hub
        self._stall_timeout_s = stall_timeout_s
        self._clock = clock or AwakeClock(longest_step_s=LONGEST_STEP_S)
        self._events = -1
        self._since = self._clock.now()

    def look(self) -> None:
        """Raises ``RunError`` if samples are outstanding and nothing has happened for too long."""
        now = self._clock.now()
        outstanding = self._hub.outstanding
        if self._hub.events != self._events or not outstanding:
            self._events, self._since = self._hub.events, now
        elif now - self._since > self._stall_timeout_s:
            raise RunError(
                f"no progress for {now - self._since:.0f} s with {outstanding} samples outstanding "
                f"(stall_timeout_s = {self._stall_timeout_s:g}): see workers/*.log"
            )
