"""What vLLM's own processes tell of themselves while they run: the files of :mod:`sut.engines.vllm_probe`, read."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sut.engines import vllm_launches

PROBE_AGE_S = 5.0


@dataclass(frozen=True)
class States:
    """``folder``: where they write. Without ``own_process`` there is nobody else, and this process is asked.
    ``watched``: whether the probe is in them.
    """

    folder: Path | None
    own_process: bool
    watched: bool

    def compilations(self, newer_than: float | None = None) -> dict[str, int]:
        """Add up the counters of vLLM's processes, once they were all written after ``newer_than`` (Unix time)."""
        if not self.own_process:
            from sut.engines import vllm_probe

            return vllm_probe.counters()
        deadline = time.monotonic() + PROBE_AGE_S
        while True:
            states = self._states()
            old = newer_than is not None and not (states and all(s["time"] > newer_than for s in states))
            if not self.watched or not old or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        total: dict[str, int] = {}
        for state in states:
            for name, count in state["counters"].items():
                total[name] = total.get(name, 0) + count
        return total

    def launches(self) -> list[dict[str, list[float]]]:
        """:data:`sut.engines.vllm_launches.sums` of each process."""
        if not self.own_process:
            return [vllm_launches.sums]
        return [state.get("launches", {}) for state in self._states()]

    def _states(self) -> list[dict[str, Any]]:
        states = []
        for path in sorted(self.folder.glob("*.json")) if self.folder else ():
            try:
                states.append(json.loads(path.read_text()))
            except (OSError, json.JSONDecodeError):
                continue
        return states
