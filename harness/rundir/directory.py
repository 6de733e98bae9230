"""Making the directory of a run: nothing that anybody has is overwritten by accident, and nobody else writes there."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.config import RunConfig
from harness.rundir import names, ours
from harness.rundir.lock import last_holder, locked
from mlperf_llama_base.errors import UserError


@dataclass(frozen=True)
class Claim:
    """A run directory that is ours to write. ``lock``: the descriptor that children who write there inherit."""

    path: Path
    lock: int


@contextlib.contextmanager
def claimed(config: RunConfig) -> Iterator[Claim]:
    """Hold ``config.output`` for a block: empty, or emptied of an earlier run if ``config.overwrite`` lets us.

    What an attempt left that never came to the start is written over: there is nothing in it.
    Raises ``UserError``, before anything is removed.
    """
    with held(config) as claim:
        prepare_directory(config)
        yield claim


@contextlib.contextmanager
def held(config: RunConfig) -> Iterator[Claim]:
    """Hold ``config.output`` for a block as it is, made if it is not there. Raises ``UserError``."""
    run_dir = Path(config.output)
    if run_dir.exists() and not run_dir.is_dir():
        raise UserError(f"output {run_dir} is a file, but must be a directory: choose another --output")
    with contextlib.ExitStack() as stack:
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            before = None if config.overwrite else last_holder(run_dir)
            lock = stack.enter_context(locked(run_dir))
        except OSError as error:
            raise UserError(
                f"output directory {run_dir} cannot be written ({error.strerror}): choose another --output"
            ) from error
        try:
            yield Claim(run_dir, lock)
        except NotEmpty as error:
            raise UserError(f"{error}; what is there was left by {before}" if before else str(error)) from error


class NotEmpty(UserError):
    """There is something in the directory, and nobody said that it may go."""


def prepare_directory(config: RunConfig) -> Path:
    """Make ``config.output`` empty, which is held by this process. Raises ``UserError`` before anything is removed."""
    run_dir = Path(config.output)
    try:
        there = {child.name for child in run_dir.iterdir()}
        if there - names.BEFORE_THE_START and not config.overwrite:
            raise NotEmpty(f"output directory {run_dir} is not empty: choose another or add --overwrite")
        _check_replaceable(run_dir, there, config)
        if config.overwrite:
            _empty(run_dir)
    except OSError as error:
        raise UserError(
            f"output directory {run_dir} cannot be written ({error.strerror}): choose another --output"
        ) from error
    return run_dir


def _check_replaceable(run_dir: Path, there: set[str], config: RunConfig) -> None:
    """Refuse to touch what no run wrote, and a run that holds what this one is given."""
    strange = list(ours.foreign(run_dir))
    if strange and {path.relative_to(run_dir).parts[0] for path in strange} >= there - {names.LOCK}:
        raise UserError(
            f"output directory {run_dir} holds something that is not one of our runs ({strange[0].name}), so it is "
            "left alone: choose another --output"
        )
    if strange:
        raise UserError(
            f"output directory {run_dir} holds {strange[0].relative_to(run_dir)}, which no run wrote (or somebody "
            "changed since), so it is left alone: move it away or choose another --output"
        )
    if not there - names.BEFORE_THE_START:
        return
    for given in (config.loadgen.user_conf, config.dataset.path, config.model.path, config.model.tokenizer):
        if given and Path(given).exists() and Path(given).resolve().is_relative_to(run_dir.resolve()):
            raise UserError(
                f"output directory {run_dir} holds {given}, which this run needs, so --overwrite does not remove it: "
                "choose another --output"
            )


def _empty(run_dir: Path) -> None:
    for child in run_dir.iterdir():
        if child.name != names.LOCK:
            shutil.rmtree(child) if child.is_dir() else child.unlink()
