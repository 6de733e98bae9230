"""One run from the command's side: check, start the session's process, show it, score it, say what came out.

The test itself happens in a child (``harness.session``): LoadGen keeps state for each process, cannot be interrupted
and takes its process along when it crashes. The parent stays free for Ctrl-C, the display and the hardware's counters.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from harness import terminal
from harness.config import Mode, RunConfig
from harness.preflight.sources import given_file
from harness.rundir import names
from harness.rundir.directory import Claim, claimed
from harness.rundir.files import write_record
from harness.rundir.system import this_system
from harness.verdict.printed import print_result
from harness.workers import check_engine
from mlperf_llama_base import child, files, interrupt
from mlperf_llama_base.errors import EnvironmentFault, HarnessError, RunError, UserError, remedy
from sut import engines
from sut.engines.facts import ModelUse

SMALLEST_FREE_BYTES = 64 << 10
LOG_PREFIX = re.compile(r"^[\d-]+ [\d:,]+ \S+ [A-Z]+ ")


def execute(config: RunConfig, *, console: Console | None = None) -> int:
    """Carry out the run. Returns the exit code 0 (valid) or 1 (not valid); raises a ``HarnessError`` otherwise."""
    console = console or terminal.console()
    without_effect = check_engine(config)
    check_target(config)
    config = with_defaults(config)
    for text in without_effect.values():
        console.print(f"warning: {text}", highlight=False, markup=False)
    with claimed(config) as claim:
        run_dir = claim.path
        with writing(run_dir):
            config.save(run_dir / names.CONFIG)
            write_record(run_dir / names.SYSTEM, this_system())
        if not config.skip_preflight:
            with _interruptible("interrupted during the pre-flight; nothing has run, the same command begins again"):
                check_environment(config, run_dir, console)
        supervise(config, claim, console)
        return conclude(config, run_dir, console)


@contextlib.contextmanager
def _interruptible(what: str) -> Iterator[None]:
    """Say what an interruption means at this stage."""
    try:
        yield
    except KeyboardInterrupt:
        interrupt.taken()
        raise RunError(what) from None


@contextlib.contextmanager
def writing(run_dir: Path) -> Iterator[None]:
    """A full disk, or another one that does not take what we write, is a fault of the environment."""
    try:
        yield
    except OSError as error:
        what = f"cannot write into {run_dir} ({error.strerror or error})"
        raise EnvironmentFault(f"{what}: {remedy(error)}, or choose another --output") from error


def check_target(config: RunConfig) -> None:
    """Refuse a user.conf that is not there before anything is created."""
    path = config.loadgen.user_conf
    if path and not Path(path).is_file():
        raise UserError(f"user.conf {path} does not exist: give an existing file with --user-conf, or --target-qps")


def with_defaults(config: RunConfig) -> RunConfig:
    """Fill in the demo model and data where none were given, and make paths absolute.

    Raises ``UserError`` for an engine, an argument of it or a data set that cannot work.
    """
    from harness import demo

    check_engine(config)
    config = config.model_copy(deep=True)
    if config.dataset.path is None:
        config.dataset.path = str(demo.demo_dataset())
    else:
        config.dataset.path = str(given_file(config.dataset.path).resolve())
    if config.model.path is None and engines.find(config.engine.name).model is ModelUse.LOADED:
        config.model.path = str(demo.demo_model())
    elif config.model.path and Path(config.model.path).exists():
        config.model.path = str(Path(config.model.path).resolve())
    if config.loadgen.user_conf:
        config.loadgen.user_conf = str(Path(config.loadgen.user_conf).resolve())
    config.output = os.path.realpath(config.output)  # unlike Path.resolve, does not stumble over a circle of links
    return config


def check_environment(config: RunConfig, run_dir: Path, console: Console) -> None:
    """Pre-flight; raises ``UserError`` or ``EnvironmentFault`` with the first check that failed."""
    from harness.preflight import Status, run_preflight

    report = run_preflight(config)
    with writing(run_dir):
        report.save(run_dir / names.PREFLIGHT)
    for finding in report.findings:
        if finding.status is Status.FAIL:
            console.print(f"{finding.check}: {finding.found}. {finding.advice}", highlight=False, markup=False)
    warned = [f.check for f in report.findings if f.status is Status.WARN]
    if warned:
        console.print(f"pre-flight warns of {', '.join(warned)} (see {names.PREFLIGHT})", highlight=False)
    report.raise_failure(f"all of it is in {run_dir / names.PREFLIGHT}; --skip-preflight runs anyway")


def supervise(config: RunConfig, claim: Claim, console: Console, *, env: dict[str, str] | None = None) -> None:
    """Start the session's process and stay with it to its end. Raises the family of error it ended with.

    ``claim``: on the run's directory; the session holds it with us. ``env``: laid over this process's environment for
    the session.
    """
    from harness import progress

    run_dir = claim.path
    with child.stop_on_signals() as stop:
        session = child.start("harness.session", run_dir, log=run_dir / names.SESSION_LOG, env=env, keep=[claim.lock])
        monitor = None
        try:
            monitor = _start_monitor(config, run_dir)
            progress.show(run_dir, is_alive=lambda: not stop.asked and session.poll() is None, console=console)
            text = f"interrupted; what was measured so far is in {run_dir} and counts for nothing"
            code = stop.wait_for(session, interrupted=text)
        finally:
            child.end(session)
            if monitor is not None:
                monitor.stop()
            if config.cluster.address != "local":
                from harness import cluster

                cluster.disconnect()
    if code:
        raise_for(code, run_dir)


def _start_monitor(config: RunConfig, run_dir: Path) -> Any:
    if not config.monitor.enabled:
        return None
    from harness.monitor import Monitor

    probes: list[Any] = []
    if config.cluster.address != "local":
        from harness.cluster.probes import node_probes

        probes = node_probes(config)
    monitor = Monitor(
        run_dir,
        probes=probes,
        interval_s=config.monitor.interval_s,
        metrics_port=config.monitor.metrics_port,
        metrics_host=config.monitor.metrics_host,
    )
    monitor.start()
    return monitor


def raise_for(code: int, run_dir: Path) -> None:
    """Raise what a child with this exit status reported: the error in session.json, or the last line of its log."""
    log = run_dir / names.SESSION_LOG
    session = files.read_json(run_dir / names.SESSION) or {}
    message = session.get("error") or _last_line(log)
    if not message and shutil.disk_usage(run_dir).free < SMALLEST_FREE_BYTES:  # nor was there room to say so
        raise EnvironmentFault(f"the disk is full: free space at {run_dir} or choose another --output")
    message = message or "the session ended without a message: look at workers/*.log and the system's log"
    if code < 0:
        message = f"the session was killed by {signal.Signals(-code).name}: {message}"
    kind = {2: UserError, 3: EnvironmentFault}.get(code, RunError)
    raise kind(f"{message} [{log}]")


def _last_line(path: Path) -> str | None:
    """The last message of a log, without its time and level."""
    with contextlib.suppress(OSError):
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
        return LOG_PREFIX.sub("", lines[-1]) if lines else None
    return None


def conclude(config: RunConfig, run_dir: Path, console: Console) -> int:
    """Score, judge, write result.json and print the verdict. Returns the exit code."""
    from harness.verdict.result import write_result

    with writing(run_dir):
        result = write_result(run_dir)  # first of all: what comes now may fail, the run is over
    unscored: HarnessError | None = None
    if config.mode is Mode.ACCURACY:
        try:
            with writing(run_dir), _interruptible("interrupted"):
                score(config, run_dir, console)
                result = write_result(run_dir)
        except HarnessError as error:
            unscored = error  # what ran still has its record
    if unscored:
        how = f"mlperf-llama accuracy {run_dir} does it"
        raise type(unscored)(f"the run ended well but could not be scored: {unscored} ({how})")
    print_result(result, run_dir, console)
    return 0 if result.valid else 1


def score(config: RunConfig, run_dir: Path, console: Console) -> None:
    """Score the accuracy log that the run has left."""
    from harness.accuracy.score_run import score_run

    began = time.monotonic()
    score_run(run_dir, scorer=config.scorer)
    console.print(f"scored in {time.monotonic() - began:.1f} s", highlight=False)
