"""A session: a system made ready once, then one or more LoadGen tests on it, or queries of somebody else's."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.config import Mode, RunConfig, Scenario
from harness.loadgen import driver as loadgen
from harness.loadgen import length
from harness.loadgen.schedule import arrivals_ns
from harness.rundir import names
from harness.session.journal import Interrupted, Journal
from harness.session.system import System
from harness.session.watchdog import Watchdog
from mlperf_llama_base.errors import EnvironmentFault, RunError
from sut.arrivals import Arrivals
from sut.dispatching import Dispatching, Reports
from sut.policies import Sample
from sut.record import SampleRecord
from sut.system_under_test import SystemUnderTest

TICK_S = 0.5
HOLD_S = 0.05
SPARE = 1.1  # a test may be a round longer than expected
MOST_ARRIVALS = 10_000_000  # 80 MB

__all__ = ["Interrupted", "Journal", "Session", "started"]


@contextlib.contextmanager
def started(config: RunConfig, journal: Journal, *, interrupt: threading.Event) -> Iterator[Session]:
    """Start a system for a block; its workers are loading still (:meth:`Session.wait_until_ready`).

    ``interrupt`` may be set from a signal handler. Raises like :class:`~harness.session.system.System`.
    """
    journal.phase("loading data")
    system = System(config, journal)
    try:
        yield Session(config, system=system, journal=journal, interrupt=interrupt)
    finally:
        system.close()


class Session:
    """What can be done with a started system. Every method that waits raises ``Interrupted`` when told to stop, and
    ``RunError`` or ``EnvironmentFault`` when the system breaks."""

    def __init__(self, config: RunConfig, *, system: System, journal: Journal, interrupt: threading.Event) -> None:
        self.config = config
        self.system = system
        self.journal = journal
        self.interrupt = interrupt

    @property
    def hub(self) -> Dispatching:
        return self.system.hub

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Prompt tokens of each sample of the performance set, [performance_count]."""
        return self.system.dataset.lengths[: self.system.library.performance_count]

    def wait_until_ready(self) -> None:
        """Wait until all workers (``cluster.min_workers`` of them) are warm, and see that the data fits the engine."""
        config, hub = self.config, self.hub
        deadline = time.monotonic() + config.workers.start_timeout_s
        while hub.ready < (wanted := min(config.cluster.min_workers or len(hub.workers), len(hub.workers))):
            self._tick("starting workers", wait_s=TICK_S)
            if hub.dead > len(hub.workers) - wanted:
                raise hub.of_input() or EnvironmentFault(
                    f"could not be started: {'; '.join(hub.missing())} (see workers/*.log)"
                )
            if time.monotonic() > deadline:
                raise EnvironmentFault(
                    f"workers not ready within {config.workers.start_timeout_s:.0f} s: {', '.join(hub.missing())} "
                    "(see workers/*.log; workers.start_timeout_s sets the deadline)"
                )
        engine = hub.engine
        if engine is not None:
            self.system.dataset.check(vocab_size=engine.vocab_size, max_prompt_tokens=engine.max_prompt_tokens)

    def hold(self) -> None:
        """A moment of being ready and doing nothing."""
        self._tick("ready", wait_s=TICK_S)
        time.sleep(HOLD_S)

    # -- a test ----------------------------------------------------------------------------------------------------

    def test(self, config: RunConfig, out_dir: Path, *, watch: Callable[[], str | None] = lambda: None) -> None:
        """Run one LoadGen test into ``out_dir``. ``watch`` is asked twice a second for a reason to give up.

        Raises ``RunError`` when a sample cannot be completed, ``Interrupted`` when told to stop. After either the
        process must end: LoadGen cannot be called off. Also raises ``RunError``, before anything begins, for a test
        whose latencies want first tokens on a system that was started without them.
        """
        if config.scenario is not Scenario.OFFLINE and self.config.scenario is Scenario.OFFLINE:
            raise RunError(
                f"a {config.scenario.value} test needs first tokens, and this session's workers report none: "
                "they were started for offline; start the session with the scenario that is measured"
            )
        out_dir.mkdir(parents=True, exist_ok=True)
        test = self._prepare(config, out_dir)
        watchdog = Watchdog(self.hub, stall_timeout_s=config.stall_timeout_s)
        test.start()
        while test.is_alive():
            test.join(TICK_S)
            if test.is_alive():
                self._tick("running")
                self._look(watchdog, watch)
        if test.failure is not None:
            raise RunError(f"LoadGen broke: {test.failure}") from test.failure
        self.hub.catch_up()
        self.journal.complete()

    def _prepare(self, config: RunConfig, out_dir: Path) -> LoadGenTest:
        """Write the test's user.conf, audit.config and first notes; nothing is issued yet."""
        library = self.system.library
        user_conf = out_dir / names.USER_CONF
        loadgen.write_user_conf(config, user_conf)
        settings, rc, overrides = loadgen.make_settings(config, user_conf)
        if library.performance_count < settings.performance_sample_count_override:
            # LoadGen would index beyond a small data set; the result says that it is not the official one
            settings.performance_sample_count_override = 0
            overrides["performance_sample_count_override"] = 0
        audit = out_dir / names.AUDIT_CONF
        if config.mode is Mode.COMPLIANCE:
            from harness.loadgen.test06 import write_audit_config

            audit = write_audit_config(out_dir)
        expected, scheduled_s = expected_length(
            config, settings, total=library.total_count, block=library.performance_count
        )
        self.hub.new_test(arrivals(config, settings, expected))
        self.journal.begin(
            config,
            from_config_rc=rc,
            settings=loadgen.dump_settings(settings),
            smoke_overrides=overrides,
            expected=expected,
            scheduled_s=scheduled_s,
        )
        return LoadGenTest(self.system, settings=settings, out_dir=out_dir, audit_conf=audit)

    def _look(self, watchdog: Watchdog, watch: Callable[[], str | None]) -> None:
        reason = watch()
        if reason:
            raise RunError(reason)
        watchdog.look()

    def _tick(self, phase: str, *, wait_s: float = 0.0) -> None:
        self.hub.changed.wait(wait_s)
        self.hub.changed.clear()
        self.pause(0.0)
        self.journal.phase(phase)

    def pause(self, seconds: float) -> None:
        """Wait a moment; raises when the system broke, or when told to stop."""
        self.interrupt.wait(seconds)
        if self.hub.failure:
            raise self.hub.failure
        if self.interrupt.is_set():
            raise Interrupted

    # -- queries of somebody else's ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lent(self, reports: Reports) -> Iterator[Loan]:
        """For a block the system answers its caller instead of LoadGen; ``reports`` gets what would be LoadGen's."""
        hub, library = self.hub, self.system.library
        everything = range(library.performance_count)
        self.journal.phase("running")
        hub.new_test()
        library.load(everything)
        try:
            with hub.reporting_to(reports):
                yield Loan(self)
        finally:
            library.unload(everything)
            hub.new_test()


class Loan:
    """A system between two tests, with all samples loaded: see :meth:`Session.lent`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._watchdog = Watchdog(session.hub, stall_timeout_s=session.config.stall_timeout_s)

    @property
    def completed(self) -> int:
        return self._session.hub.counts.completed

    def start_record(self) -> SampleRecord:
        """A new record for the samples that complete from now on."""
        return self._session.hub.start_record()

    def without_first_token(self) -> list[int]:
        """Ids of the outstanding samples that have no first token yet."""
        return [sample.id for sample in self.in_flight() if not sample.first_token]

    def in_flight(self) -> list[Sample]:
        """The outstanding samples."""
        return self._session.hub.in_flight()

    def live_facts(self) -> dict[int, dict[str, Any]]:
        """What each worker's engine said of itself in its last heartbeat."""
        return {number: view.beat.facts for number, view in self._session.hub.workers.items()}

    def pause(self, seconds: float) -> None:
        """Wait a moment and look after the system. Raises like the session."""
        self._session.pause(seconds)
        self._watchdog.look()


class LoadGenTest(threading.Thread):
    """LoadGen's ``StartTest`` in a thread of its own; it returns when the test is over. ``failure``: how it broke."""

    def __init__(self, system: System, *, settings: Any, out_dir: Path, audit_conf: Path) -> None:
        super().__init__(name="loadgen", daemon=True)
        self.failure: BaseException | None = None
        self._system = system
        self._settings = settings
        self._out_dir = out_dir
        self._audit_conf = audit_conf

    def run(self) -> None:
        library = self._system.library
        sut = SystemUnderTest(self._system.hub)
        try:
            loadgen.run_test(
                settings=self._settings,
                out_dir=self._out_dir,
                audit_conf=self._audit_conf,
                counts=(library.total_count, library.performance_count),
                issue=sut.issue,
                flush=sut.flush,
                load=library.load,
                unload=library.unload,
            )
        except BaseException as error:  # noqa: BLE001  carried to the main thread, which ends the process
            self.failure = error


def arrivals(config: RunConfig, settings: Any, expected: int | None) -> Arrivals:
    """When LoadGen will have its queries due, where it follows a schedule."""
    if config.scenario not in (Scenario.SERVER, Scenario.INTERACTIVE) or not expected:
        return Arrivals()
    rate, seed = settings.server_target_qps, settings.schedule_rng_seed
    return Arrivals(arrivals_ns(rate=rate, seed=seed, count=min(int(SPARE * expected) + 100, MOST_ARRIVALS)))


def expected_length(config: RunConfig, settings: Any, *, total: int, block: int) -> tuple[int | None, float | None]:
    """Samples that the test will issue, and seconds over which it issues them, where known; for the display."""
    if config.mode is Mode.ACCURACY:
        return total, None
    test = length.set_up(settings, config.scenario, block=block)
    if config.mode is Mode.COMPLIANCE:
        test = length.test06(config.scenario, rate=test.rate)
    if config.scenario is Scenario.SINGLESTREAM:  # what its queries take is what the test is about
        return test.samples, None
    return test.samples, None if config.scenario is Scenario.OFFLINE else test.seconds
