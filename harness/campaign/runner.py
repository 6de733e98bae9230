"""Run a campaign's steps one after the other, each in a process of its own, and remember what is done."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from rich.console import Console

from harness.campaign.plan import Kind, Step
from harness.campaign.state import UNSCORED, Fingerprints, State, not_scored, succeeded
from harness.rundir import names
from mlperf_llama_base import interrupt
from mlperf_llama_base.errors import EnvironmentFault, HarnessError, RunError, UserError
from mlperf_llama_base.orphans import die_with_parent
from mlperf_llama_base.source import python_path

LOCK = ".campaign.lock"
LOCK_WAIT_S = 20.0
END_S = 20.0  # for a run that is interrupted to end its workers and leave its record
Command = Callable[[Path, Path, bool], list[str]]
ScoreCommand = Callable[[Step, Path], list[str]]


class Outcome(StrEnum):
    DONE = "done before"
    VALID = "valid"
    NOT_VALID = "not valid"
    SKIPPED = "skipped"


def run_command(config: Path, output: Path, overwrite: bool) -> list[str]:
    """The command line of one run."""
    command = [sys.executable, "-m", "harness", "run", "--profile", str(config), "--output", str(output)]
    return command + (["--overwrite"] if overwrite else [])


def score_command(step: Step, output: Path) -> list[str]:
    """The command line that scores a run which is there already, by what the configuration says now."""
    command = [sys.executable, "-m", "harness", "accuracy", str(output)]
    for option, value in (("--scorer", step.config.scorer), ("--tokenizer", step.config.model.tokenizer)):
        command += [option, str(value)] if value else []
    return command


@dataclass
class Campaign:
    """A directory with a plan. ``command`` and ``score`` can be replaced in tests."""

    directory: Path
    steps: Sequence[Step]
    keep_going: bool = False
    command: Command = run_command
    score: ScoreCommand = score_command
    console: Console = field(default_factory=Console)
    fingerprints: Fingerprints = field(default_factory=Fingerprints)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def reasons(self) -> dict[str, str | None]:
        """For each step why it must run, or None if it is done."""
        state = State.load(self.directory)
        return {step.name: state.why_run(step, self.fingerprints.of(step.config)) for step in self.steps}

    def run(self) -> bool:
        """Make every run that is not done. Returns whether all are valid.

        Raises the family of error with which a run ended. A smoke run is made only if something else is to run.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with locked(self.directory) as lock:
            state = State.load(self.directory)
            reasons = {step.name: state.why_run(step, self.fingerprints.of(step.config)) for step in self.steps}
            idle = not any(reasons[step.name] for step in self.steps if step.kind is not Kind.SMOKE)
            for number, step in enumerate(self.steps, 1):
                reason = reasons[step.name]
                if reason is None or (idle and step.kind is Kind.SMOKE):
                    self.outcomes[step.name] = Outcome.DONE
                elif (blocker := self._blocked(step)) and not self.keep_going:
                    self.outcomes[step.name] = Outcome.SKIPPED
                    self.console.print(f"[bold]{step.name}[/]: skipped, {blocker} is not valid", highlight=False)
                else:
                    self.console.rule(f"{number}/{len(self.steps)} {step.name} ({reason})")
                    self.outcomes[step.name] = self._make(step, state, lock, scored=reason == UNSCORED)
        return all(outcome in (Outcome.DONE, Outcome.VALID) for outcome in self.outcomes.values())

    def _blocked(self, step: Step) -> str | None:
        """A performance run waits for its scenario's accuracy and compliance; all wait for the smoke run."""
        for earlier, outcome in self.outcomes.items():
            same = earlier.partition("/")[0] == step.name.partition("/")[0]
            if outcome is Outcome.NOT_VALID and (
                (step.kind is Kind.PERFORMANCE and same) or earlier.startswith("smoke/")
            ):
                return earlier
        return None

    def _make(self, step: Step, state: State, lock: int, *, scored: bool) -> Outcome:
        """Make a run, or score one that is there (``scored``)."""
        config = self.directory / "plan" / f"{step.name.replace('/', '-')}.yaml"
        config.parent.mkdir(exist_ok=True)
        output = self.directory / step.name
        step.config.model_copy(update={"output": str(output)}).save(config)
        inputs = self.fingerprints.of(step.config)
        began = time.monotonic()
        again = output.exists() and any(output.iterdir())
        code = self._call(self.score(step, output) if scored else self.command(config, output, again), lock)
        if code not in (0, 1) and not scored and step.kind is Kind.ACCURACY and not_scored(output):
            state.record(step, inputs=inputs, exit_code=code, seconds=time.monotonic() - began)  # it need not run again
        if code in (0, 1):
            state.record(step, inputs=inputs, exit_code=code, seconds=time.monotonic() - began)
            good = succeeded(step, output)
            if good and step.kind is Kind.SMOKE:
                self.console.print(
                    "the smoke run lost nothing and logged no error; LoadGen's verdict needs more queries"
                )
            return Outcome.VALID if good else Outcome.NOT_VALID
        kind: type[HarnessError] = {2: UserError, 3: EnvironmentFault}.get(code, RunError)
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}, its message is above"
        if self.keep_going and kind is RunError:
            self.console.print(f"[bold red]{step.name} {how}[/]", highlight=False)
            return Outcome.NOT_VALID
        raise kind(f"{step.name} {how}; the same command continues from here ({output / names.SESSION_LOG})")

    def _call(self, command: list[str], lock: int) -> int:
        """Run a command to its end. It holds the campaign's lock, and ends when this process is killed."""
        env = os.environ | {"PYTHONPATH": python_path()}
        child = subprocess.Popen(command, env=env, pass_fds=(lock,), preexec_fn=_die_with_parent)
        try:
            return child.wait()
        except KeyboardInterrupt:
            interrupt.pass_on(child, grace_s=END_S)
            raise RunError(f"interrupted; the same command continues from here ({self.directory})") from None
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


def _die_with_parent() -> None:
    """In the child: be told when the campaign dies, even by kill -9, so that no run goes on without it."""
    die_with_parent(by=signal.SIGTERM)


@contextmanager
def locked(directory: Path) -> Iterator[int]:
    """Hold the directory against a second command; yields the lock's descriptor.

    A run inherits it, so that one that outlives a killed campaign for some seconds is waited for.
    """
    with (directory / LOCK).open("w") as file:
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UserError(
                        f"another mlperf-llama command is at work in {directory}: wait for it, or end it"
                    ) from None
                time.sleep(0.2)
        yield file.fileno()
