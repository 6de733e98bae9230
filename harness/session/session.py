"""A session: data and workers made ready once, then one or more LoadGen tests on them."""

from __future__ import annotations

import contextlib
import datetime
import math
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.config import Mode, RunConfig, Scenario
from harness.loadgen import driver as loadgen
from harness.rundir import names
from harness.session.outcome import Outcome
from harness.session.status import StatusWriter
from harness.workers import plan_workers
from mlperf_llama_base.errors import EnvironmentFault, HarnessError, RunError
from qsl.dataset import Dataset
from qsl.library import SampleLibrary
from sut.completions import Completions
from sut.dispatcher import Dispatcher
from sut.engines import shapes
from sut.hub import Hub, HubOptions
from sut.policies import make_order, make_policy
from sut.system_under_test import SystemUnderTest
from sut.workers.base import WorkerPool

TICK_S = 0.5


class Interrupted(Exception):
    """The user ended the run."""


class Session:
    """``start`` once, ``test`` once or more, ``close`` always. ``interrupt`` may be set from a signal handler."""

    def __init__(self, config: RunConfig, run_dir: Path) -> None:
        self.config = config
        self.run_dir = run_dir
        self.status = StatusWriter(config, run_dir)
        self.outcome = Outcome(config=config)
        self.interrupt = threading.Event()
        self.hub: Hub | None = None
        self._pool: WorkerPool | None = None
        self._scratch = Path(tempfile.mkdtemp(prefix="mlperf-llama-"))  # the local wire's socket, readable by us alone

    # -- before the clock ----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Load the data, start the workers and wait until all are warm."""
        config = self.config
        self.status.write()
        model = self._inspect_model()
        self.dataset = Dataset.load(
            Path(config.dataset.path or ""), limit=config.dataset.limit, vocab_size=model.get("vocab_size")
        )
        self.library = SampleLibrary(
            self.dataset, performance_count=min(self.dataset.count, config.benchmark.sample_count)
        )
        self.outcome.dataset = self._describe_dataset()
        self._tick("starting workers")
        self.completions = Completions()
        self.completions.start()
        dispatch = config.dispatch
        dispatcher = Dispatcher(
            policy=make_policy(
                dispatch.policy,
                offline=config.scenario is Scenario.OFFLINE,
                backlog=dispatch.backlog,
                prefill_weight=dispatch.prefill_weight,
            ),
            order=make_order(dispatch.order),
            block=self.library.performance_count,
            max_attempts=config.workers.max_attempts,
            first_tokens=config.scenario is not Scenario.OFFLINE,
        )
        self.hub = self._make_hub(dispatcher)
        self.status.hub = self.hub
        self.hub.start()
        self._wait_for_workers()

    def _make_hub(self, dispatcher: Dispatcher) -> Hub:
        workers = self.config.workers
        bind = f"ipc://{self._scratch}/{secrets.token_hex(4)}"
        curve_keys = None
        if self.config.cluster.address == "local":
            from sut.workers.local import LocalPool

            pool: WorkerPool = LocalPool()
            specs = plan_workers(self.config, run_dir=self.run_dir, endpoint="")
        else:
            from harness.session.cluster import make_cluster

            pool, specs, bind, curve_keys = make_cluster(self.config, run_dir=self.run_dir)
        self._pool = pool
        return Hub(
            dispatcher=dispatcher,
            pool=pool,
            specs=specs,
            prompts=self.library.__getitem__,
            deliver=self.completions.put,
            options=HubOptions(
                start_timeout_s=workers.start_timeout_s,
                heartbeat_timeout_s=workers.heartbeat_timeout_s,
                stall_timeout_s=workers.stall_timeout_s,
                max_restarts=workers.max_restarts,
                placement_timeout_s=self.config.cluster.placement_timeout_s,
            ),
            bind=bind,
            curve_keys=curve_keys,
        )

    def _wait_for_workers(self) -> None:
        hub = self.hub
        assert hub is not None
        deadline = time.monotonic() + self.config.workers.start_timeout_s
        while hub.ready < min(self.config.cluster.min_workers or len(hub.workers), len(hub.workers)):
            self._tick("starting workers")
            dead = sum(w.state == "dead" for w in hub.workers.values())
            if dead > len(hub.workers) - (self.config.cluster.min_workers or len(hub.workers)):
                raise hub.of_input() or EnvironmentFault(
                    f"could not be started: {'; '.join(hub.missing())} (see workers/*.log)"
                )
            if time.monotonic() > deadline:
                raise EnvironmentFault(
                    f"workers not ready within {self.config.workers.start_timeout_s:.0f} s: {', '.join(hub.missing())} "
                    "(see workers/*.log; workers.start_timeout_s sets the deadline)"
                )
        assert hub.engine is not None
        self.dataset.check(vocab_size=hub.engine.vocab_size, max_prompt_tokens=hub.engine.max_prompt_tokens)

    def hold(self) -> None:
        """Half a second of being ready and doing nothing."""
        self._tick("ready")
        time.sleep(0.05)

    # -- the test ------------------------------------------------------------------------------------------------

    def test(self, config: RunConfig, out_dir: Path, *, watch: Callable[[], str | None] = lambda: None) -> None:
        """Run one LoadGen test into ``out_dir``. ``watch`` is asked twice a second for a reason to give up.

        Raises ``RunError`` when a sample cannot be completed, ``Interrupted`` when told to stop. After either the
        process must end: LoadGen cannot be called off.
        """
        hub = self.hub
        assert hub is not None
        out_dir.mkdir(parents=True, exist_ok=True)
        user_conf = out_dir / names.USER_CONF
        loadgen.write_user_conf(config, user_conf)
        settings, rc, overrides = loadgen.make_settings(config, user_conf)
        if self.library.performance_count < settings.performance_sample_count_override:
            # LoadGen would index beyond a small data set; the result says that it is not the official one
            settings.performance_sample_count_override = 0
            overrides["performance_sample_count_override"] = 0
        self.outcome = Outcome(
            config=config,
            dataset=self.outcome.dataset,
            model=self.outcome.model,
            from_config_rc=rc,
            settings=loadgen.dump_settings(settings),
            smoke_overrides=overrides,
        )
        hub.new_test()
        audit = out_dir / names.AUDIT_CONF
        if config.mode is Mode.COMPLIANCE:
            from harness.loadgen.test06 import write_audit_config

            audit = write_audit_config(out_dir)
        sut = SystemUnderTest(hub)
        failure: list[BaseException] = []

        def work() -> None:
            try:
                loadgen.run_test(
                    settings=settings,
                    out_dir=out_dir,
                    audit_conf=audit,
                    counts=(self.library.total_count, self.library.performance_count),
                    issue=sut.issue,
                    flush=sut.flush,
                    load=self.library.load,
                    unload=self.library.unload,
                )
            except BaseException as error:  # noqa: BLE001  carried to the main thread, which ends the process
                failure.append(error)

        self._expect(settings, config)
        thread = threading.Thread(target=work, name="loadgen", daemon=True)
        began = time.monotonic()
        self.outcome.test_started = _now()
        self.status.started = hub.last_event = began
        self.status.phase = "running"
        thread.start()
        while thread.is_alive():
            thread.join(TICK_S)
            if thread.is_alive():
                self._tick("running")
                self._watchdog(watch)
        if failure:
            raise RunError(f"LoadGen broke: {failure[0]}") from failure[0]
        self.outcome.test_ended = _now()
        self.outcome.wall_s = time.monotonic() - began
        self.outcome.outcome = "completed"
        self.status.phase = "finished"
        self.status.write()

    def _watchdog(self, watch: Callable[[], str | None]) -> None:
        hub = self.hub
        assert hub is not None
        if self.completions.error:
            raise RunError(f"reporting to LoadGen broke: {self.completions.error}")
        reason = watch()
        if reason:
            raise RunError(reason)
        silent = time.monotonic() - hub.last_event
        if hub.dispatcher.outstanding and silent > self.config.stall_timeout_s:
            raise RunError(
                f"no progress for {silent:.0f} s with {len(hub.dispatcher.outstanding)} samples outstanding "
                f"(stall_timeout_s = {self.config.stall_timeout_s:g}): see workers/*.log"
            )

    def _tick(self, phase: str) -> None:
        if self.hub is not None:
            self.hub.changed.wait(0.0 if phase == "running" else TICK_S)
            self.hub.changed.clear()
            if self.hub.failure:
                raise self.hub.failure
        if self.interrupt.is_set():
            raise Interrupted
        self.status.phase = phase
        self.status.write()

    def _expect(self, settings: Any, config: RunConfig) -> None:
        """Tell the display how long the test will be: LoadGen decides, this is its arithmetic in short."""
        block = self.library.performance_count
        status = self.status
        status.scheduled_s = None
        if config.mode is Mode.ACCURACY:
            status.expected = self.library.total_count
        elif config.scenario in (Scenario.SERVER, Scenario.INTERACTIVE):
            seconds = settings.min_duration_ms / 1e3
            count = max(settings.min_query_count, seconds * settings.server_target_qps)
            if settings.sample_concatenate_permutation:
                count = math.ceil(count / block) * block
            status.expected = min(int(count), settings.max_query_count or int(count))
            status.scheduled_s = status.expected / settings.server_target_qps
        elif config.scenario is Scenario.OFFLINE:
            count = max(settings.min_query_count, 1.1 * settings.min_duration_ms / 1e3 * settings.offline_expected_qps)
            status.expected = math.ceil(count / block) * block
        else:
            status.expected = None

    # -- afterwards ----------------------------------------------------------------------------------------------

    def save(self, out_dir: Path, error: BaseException | None = None) -> None:
        """Write session.json and events.parquet, also of a run that broke."""
        if error is not None:
            self.outcome.outcome = "interrupted" if isinstance(error, Interrupted) else "failed"
            self.outcome.error = "interrupted by the user" if isinstance(error, Interrupted) else str(error)
            self.status.phase, self.status.message = "failed", self.outcome.error
        try:
            self.outcome.save(out_dir, self.hub)
        except OSError as problem:
            raise EnvironmentFault(
                f"cannot write into {out_dir} ({problem.strerror or problem}): free space there"
            ) from problem
        self.status.write()

    def close(self, *, grace_s: float = 3.0) -> None:
        """End the workers. No process of ours is left afterwards."""
        with contextlib.suppress(HarnessError):
            if self.hub is not None:
                self.hub.stop()
        if self._pool is not None:
            self._pool.close(grace_s)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _inspect_model(self) -> dict[str, Any]:
        config = self.config
        if config.engine.name == "null" or (config.engine.name == "openai" and not config.model.path):
            return {}
        if shapes.is_shape(config.model.path or ""):
            reasons = [f"{config.model.path} is a shape with random weights"]
            self.outcome.model = {"path": config.model.path, "is_llama_3_1_8b": False, "reasons": reasons}
            return {}
        import dataclasses

        from harness.inventory.model import inspect_model

        info = dataclasses.asdict(inspect_model(config.model.path or "", revision=config.model.revision))
        self.outcome.model = {"path": config.model.path} | info
        return info

    def _describe_dataset(self) -> dict[str, Any]:
        d = self.dataset
        return {
            "path": str(d.path),
            "sha256": d.sha256,
            "format": d.format,
            "label": d.label,
            "count": d.count,
            "total_count": self.library.total_count,
            "performance_count": self.library.performance_count,
            "input_tokens_mean": float(d.lengths.mean()),
            "input_tokens_max": int(d.lengths.max()),
            "duplicates": d.duplicates,
            "is_official_count": d.count == self.config.benchmark.sample_count,
        }


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
