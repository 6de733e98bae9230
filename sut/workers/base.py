"""What the hub needs from whoever places worker processes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import msgspec

from mlperf_llama_base.node import node_name
from sut.messages import WorkerSpec

DONE_GRACE_S = 3.0  # for workers that have nothing left to do
BUSY_GRACE_S = 0.5  # for those whose work is of no use any more


def grace_s(*, idle: bool) -> float:
    """How long workers have to end by themselves."""
    return DONE_GRACE_S if idle else BUSY_GRACE_S


class Exit(msgspec.Struct):
    """A worker process has ended. ``code``: exit status, negative for a signal, ``None`` if its node was lost."""

    worker: int
    incarnation: int
    code: int | None
    reason: str


class WorkerPool(ABC):
    """Starts, watches and ends worker processes. All calls come from the hub's thread, but ``close``."""

    @abstractmethod
    def start(self, spec: WorkerSpec) -> None:
        """Start (or restart) a worker without waiting for it. Raises ``EnvironmentFault`` if it cannot be placed."""

    @abstractmethod
    def exits(self) -> list[Exit]:
        """Processes that ended since the last call."""

    def added(self) -> list[WorkerSpec]:
        """Specs of further workers that have found room since the last call."""
        return []

    def place(self, worker: int) -> str | None:
        """Name of the node that a started worker is on; ``None``: it still waits for room on one."""
        return node_name()

    @abstractmethod
    def kill(self, worker: int) -> None:
        """End a worker and its children at once, even a stopped one."""

    @abstractmethod
    def close(self, grace_s: float) -> None:
        """End all workers: wait ``grace_s`` seconds for those that were asked to stop, then kill. Idempotent."""
