"""The engine interface: two hooks on the hot path, ``submit`` and ``poll``.

An engine turns prompt ids into generated ids. It knows nothing of LoadGen, queues or other workers, and runs alone in
its process. One that can accept requests while another thread waits in ``poll`` says so with ``concurrent = True``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sut.engines.facts import EngineFacts
from sut.messages import EngineInfo, EngineSettings, Event, Request

IntArray = npt.NDArray[np.int32]


class Engine(ABC):
    """One model on one device (or one tensor-parallel group).

    ``concurrent``: ``submit`` may be called from another thread while ``poll`` blocks. Without it the worker calls
    both from one thread and ``poll`` does the work (one step) itself. An engine may decide it in ``load``.
    ``steps`` grows while the engine works, also between events: with work left and no step made it is hung. The worker
    counts the polls of an engine that is not concurrent; a concurrent one counts its own steps.
    ``generated`` grows with every token that is made, those of unfinished answers included, so that people see how
    fast it goes before the first answer is whole. Of an engine that leaves it at 0 the worker counts whole answers.
    ``facts``: what the harness must know before the engine is loaded. Where importing the class's module imports a
    heavy library, they stand in a module of their own, which the registry names.
    """

    facts: ClassVar[EngineFacts] = EngineFacts()
    concurrent: bool = False

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self.steps = 0
        self.generated = 0

    @abstractmethod
    def load(self) -> EngineInfo:
        """Load the model. Raises ``UserError`` for a wrong model folder or argument, ``EnvironmentFault`` for a
        missing package, device or memory."""

    @abstractmethod
    def submit(self, requests: Sequence[Request]) -> None:
        """Accept requests. Must not block for the generation. A request that cannot be served gets a ``Failure``."""

    @abstractmethod
    def poll(self, timeout_s: float) -> list[Event]:
        """Return what happened since the last call, waiting up to ``timeout_s`` seconds for the first event.

        Each request yields one ``Completion`` or ``Failure``, and before it one ``FirstToken`` when
        ``settings.first_tokens``, as soon as that token exists. Raises when the engine as a whole is broken.
        A request with ``limits.stream`` yields ``Tokens`` as well, for every step that gave it further tokens.
        """

    @property
    @abstractmethod
    def outstanding(self) -> int:
        """Requests accepted and not finished."""

    @property
    def running(self) -> int:
        """Requests being worked on now, as far as the engine can tell (the rest wait)."""
        return self.outstanding

    def cancel(self, ids: Sequence[int]) -> None:  # noqa: B027  an engine may let them run to their end
        """Nobody waits for these requests any more: give up their place. Called as ``submit`` is.

        Each still yields its one ``Completion`` or ``Failure``, soon. Ids that are not under way are no error.
        """

    def warm_up(self, prompts: Sequence[IntArray]) -> None:
        """Run ``prompts`` through the engine and discard the output, so that nothing compiles during the test."""
        self.submit([Request(-1 - i, p.tobytes()) for i, p in enumerate(prompts)])
        while self.outstanding:
            self.poll(1.0)

    def live_facts(self) -> dict[str, Any]:
        """What changed since ``load`` and belongs in the result (such as compilations after warm-up)."""
        return {}

    def close(self) -> None:  # noqa: B027  most engines have nothing to release
        """Release the device and every child process. Safe to call twice."""
