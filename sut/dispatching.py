"""What a session asks of whatever stands between LoadGen and the workers: one hub, or a front before several."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec

from mlperf_llama_base.errors import HarnessError
from sut.arrivals import Arrivals
from sut.dispatcher import Dispatcher
from sut.duty import Duty
from sut.messages import EngineInfo
from sut.policies import Sample
from sut.record import SampleRecord
from sut.supervisor import LostWorker, State, WorkerView, of_input

Batch = list[tuple[int, bytes]]
Reports = Callable[[Batch, Batch], None]


class Counts(msgspec.Struct, kw_only=True):
    """Of a test, as the dispatcher counts: see there."""

    issued: int = 0
    completed: int = 0
    retried: int = 0
    duplicates: int = 0
    failures: int = 0
    behind: int = 0
    violations: dict[str, int] = {}
    examples: list[str] = []


class Dispatching(threading.Thread):
    """A thread that takes what is issued and answers LoadGen, until :meth:`stop`.

    ``failure`` is set when the run cannot go on; ``changed`` fires on it, on each worker that is ready and on each that
    is gone for good. ``events`` grows with everything that happens, so that a watchdog sees when nothing does.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.record = SampleRecord()
        self.engine: EngineInfo | None = None
        self.lost: list[LostWorker] = []
        self.refused = self.refused_peers = 0
        self.failure: HarnessError | None = None
        self.changed = threading.Event()
        self.events = 0
        self.duty = Duty()

    def take(self, ids: list[int], indices: list[int], at_ns: int) -> None:
        """LoadGen's sample ids and the samples' indices in the data set. Only enqueues: it runs on LoadGen's thread."""
        self.issue(list(zip(ids, indices, strict=True)), at_ns)

    @abstractmethod
    def issue(self, samples: list[tuple[int, int]], at_ns: int | None = None) -> None:
        """The same as ``(sample id, data-set index)`` pairs, issued at ``at_ns`` (now)."""

    @abstractmethod
    def new_test(self, arrivals: Arrivals | None = None) -> None:
        """Count from zero; only between tests, when nothing is outstanding. ``arrivals``: when samples will be due."""

    @abstractmethod
    def reporting_to(self, reports: Reports) -> AbstractContextManager[None]:
        """For a block ``reports`` gets first tokens and completions, on this thread, in LoadGen's place."""

    def start_record(self) -> SampleRecord:
        """Begin a new record, which samples that complete from now on go into, and return it."""
        self.record = SampleRecord()
        return self.record

    def catch_up(self) -> None:
        """Return when all that is known of workers here is what their hub knows."""

    @abstractmethod
    def in_flight(self) -> list[Sample]:
        """The outstanding samples."""

    @property
    @abstractmethod
    def counts(self) -> Counts: ...

    @property
    @abstractmethod
    def outstanding(self) -> int:
        """Samples that are issued and not completed."""

    @abstractmethod
    def held(self, worker: int) -> int:
        """Samples that a worker has been given and not answered."""

    @property
    @abstractmethod
    def workers(self) -> dict[int, WorkerView]: ...

    @property
    @abstractmethod
    def dead(self) -> int:
        """Workers that are gone and will not be started again, or that no node had room for in time."""

    @property
    @abstractmethod
    def capacity(self) -> int:
        """Samples that the ready workers can work on at once."""

    @property
    def busy_share(self) -> float:
        """What share of the test the busiest of the threads that dispatch was at work."""
        return self.duty.share

    @property
    def ready(self) -> int:
        return sum(w.state is State.READY for w in self.workers.values())

    def missing(self) -> list[str]:
        """Workers that are not ready, each with what is known of it."""
        return [f"{w.name} ({w.trouble})" for w in self.workers.values() if w.state is not State.READY]

    def of_input(self) -> HarnessError | None:
        """What the user gave, if that is why workers cannot start: it is the same for all of them."""
        return of_input(self.workers.values())

    @abstractmethod
    def stop(self) -> None: ...

    def _fail(self, error: HarnessError) -> None:
        self.failure = error
        self.changed.set()


def counts_of(dispatcher: Dispatcher) -> Counts:
    """What a :class:`~sut.dispatcher.Dispatcher` has counted."""
    d = dispatcher
    return Counts(
        issued=d.issued,
        completed=d.completed,
        retried=d.retried,
        duplicates=d.duplicates,
        failures=d.failures,
        behind=d.behind,
        violations=dict(d.violations),
        examples=list(d.examples),
    )
