"""What a session leaves on disk from its first moment to its last: status.json, session.json, events.parquet.

It is there before the system is, so that a run which never starts has its record too.
"""

from __future__ import annotations

import datetime
import time
from pathlib import Path

from harness.config import RunConfig
from harness.loadgen.keys import Setting
from harness.rundir.names import SIGNED
from harness.rundir.session import Dataset, Model
from harness.session.outcome import Outcome, children_cpu_seconds, cpu_seconds
from harness.session.status import StatusWriter
from mlperf_llama_base.errors import EnvironmentFault
from mlperf_llama_base.files import sha256_of
from sut.dispatching import Dispatching


class Interrupted(Exception):
    """The user ended the run."""

    exit_code = 4


class Journal:
    """Keeps the files of ``run_dir``, and those of a test that runs into another directory."""

    def __init__(self, config: RunConfig, run_dir: Path) -> None:
        self.run_dir = run_dir
        self._status = StatusWriter(config, run_dir)
        self._outcome = Outcome(config=config)
        self._hub: Dispatching | None = None
        self._began = self._cpu_began = 0.0
        self._children_began: dict[int, float] = {}

    def follow(self, hub: Dispatching) -> None:
        """From now on both files tell what this hub and its workers do."""
        self._hub = self._status.hub = hub

    def describe(self, *, dataset: Dataset | None = None, model: Model | None = None) -> None:
        """Note what is measured with; stays for every test."""
        self._outcome.dataset = dataset or self._outcome.dataset
        self._outcome.model = model or self._outcome.model

    def phase(self, name: str) -> None:
        """Write status.json."""
        self._status.phase = name
        self._status.write()

    @property
    def expected(self) -> int | None:
        """Samples that the test will issue, if that is known."""
        return self._status.expected

    def begin(
        self,
        config: RunConfig,
        *,
        from_config_rc: int,
        settings: dict[str, Setting],
        smoke_overrides: dict[str, int | float],
        expected: int | None,
        scheduled_s: float | None,
    ) -> None:
        """A test begins now: what is noted from here on is of this one."""
        self._outcome = Outcome(
            config=config,
            dataset=self._outcome.dataset,
            model=self._outcome.model,
            from_config_rc=from_config_rc,
            settings=settings,
            smoke_overrides=smoke_overrides,
        )
        self._status.expected, self._status.scheduled_s = expected, scheduled_s
        self._children_began = children_cpu_seconds()
        self._began, self._cpu_began = time.monotonic(), cpu_seconds()
        self._outcome.test_started = _now()
        self._status.started = self._began
        self._status.phase = "running"

    def complete(self) -> None:
        """The test has come to its end."""
        self._outcome.test_ended = _now()
        self._outcome.wall_s = time.monotonic() - self._began
        self._outcome.test_cpu_s = own = cpu_seconds() - self._cpu_began
        self._outcome.dispatch_share = self._hub.busy_share if self._hub else None
        children = children_cpu_seconds()
        if children.keys() == self._children_began.keys():
            self._outcome.test_cpu_all_s = own + sum(children.values()) - sum(self._children_began.values())
        self._outcome.outcome = "completed"
        self.phase("finished")

    def save(self, out_dir: Path, error: BaseException | None = None) -> None:
        """Write session.json and events.parquet, also of a run that broke with ``error``.

        Raises ``EnvironmentFault`` if the disk is full.
        """
        if error is not None:
            interrupted = isinstance(error, Interrupted)
            self._outcome.outcome = "interrupted" if interrupted else "failed"
            self._outcome.error = "interrupted by the user" if interrupted else str(error)
            self._status.phase, self._status.message = "failed", self._outcome.error
        try:
            completed = self._outcome.outcome == "completed"
            self._outcome.save(out_dir, self._hub, signed=digests(out_dir) if completed else None)
        except OSError as problem:
            raise EnvironmentFault(
                f"cannot write into {out_dir} ({problem.strerror or problem}): free space there"
            ) from problem
        self._status.write()


def digests(out_dir: Path) -> dict[str, str]:
    """SHA-256 by name of what the test left and nobody may change from now on. Raises ``OSError``."""
    return {name: sha256_of(out_dir / name) for name in SIGNED if (out_dir / name).is_file()}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
