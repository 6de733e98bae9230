"""Making the directory of a run: nothing that anybody has is ever overwritten by accident."""

from __future__ import annotations

import shutil
from fnmatch import fnmatch
from pathlib import Path

import yaml

from harness.config import RunConfig
from harness.rundir import names
from mlperf_llama_base.errors import UserError

# What a run and its later scoring, reports and measurements write; anything else in a directory is somebody's own
OURS = (
    names.CONFIG,
    names.USER_CONF,
    names.AUDIT_CONF,
    names.STATUS,
    names.SESSION,
    names.EVENTS,
    names.PREFLIGHT,
    names.SYSTEM,
    names.RESULT,
    names.SESSION_LOG,
    names.WORKERS,
    names.ACCURACY_JSON,
    names.ACCURACY_TEXT,
    names.ACCURACY_SAMPLES,
    "metrics*.parquet",
    "metrics*.arrows",
    "metrics*.part",
    "mlperf_log_*",
    "raw.json",
    "raw.log",
    "raw-batches-of-*.json",
    "report.html",
    "report.md",
    "tune.json",
    "confirm-*",
)


def prepare_directory(config: RunConfig) -> Path:
    """Create ``config.output``, which must be empty or hold an earlier run that ``config.overwrite`` lets us replace.

    What an attempt left that never came to the start may be written over: there is nothing in it.
    Raises ``UserError``, before anything is removed.
    """
    run_dir = Path(config.output)
    try:
        if run_dir.exists() and not run_dir.is_dir():
            raise UserError(f"output {run_dir} is a file, a directory is wanted: choose another --output")
        there = {child.name for child in run_dir.iterdir()} if run_dir.is_dir() else set()
        if there - names.BEFORE_THE_START:
            if not config.overwrite:
                raise UserError(f"output directory {run_dir} is not empty: choose another or add --overwrite")
            _check_replaceable(run_dir, there, config)
            for child in run_dir.iterdir():
                shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        run_dir.mkdir(parents=True, exist_ok=True)
        probe = run_dir / ".write-test"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"output directory {run_dir} cannot be written ({error.strerror}): choose another --output"
        ) from error
    return run_dir


def _check_replaceable(run_dir: Path, there: set[str], config: RunConfig) -> None:
    """Refuse to remove what does not look like a run, and a run that holds what this one is given."""
    if not _is_run(run_dir):
        raise UserError(
            f"output directory {run_dir} holds something that is no run of ours, so --overwrite does not remove it: "
            "choose another --output"
        )
    strange = sorted(name for name in there if not _ours(name))
    if strange:
        raise UserError(
            f"output directory {run_dir} holds {strange[0]}, which no run wrote, so --overwrite does not remove it: "
            "move it away or choose another --output"
        )
    for given in (config.loadgen.user_conf, config.dataset.path, config.model.path, config.model.tokenizer):
        if given and Path(given).exists() and Path(given).resolve().is_relative_to(run_dir.resolve()):
            raise UserError(
                f"output directory {run_dir} holds {given}, which this run needs, so --overwrite does not remove it: "
                "choose another --output"
            )


def _ours(name: str) -> bool:
    """Hidden ones are what a write leaves that was cut short: ``.status.json.4711``."""
    hidden = name.startswith(".")
    return any(fnmatch(name[1:], f"{our}*") if hidden else fnmatch(name, our) for our in OURS)


def _is_run(run_dir: Path) -> bool:
    if any((run_dir / name).is_file() for name in (names.STATUS, names.DETAIL_LOG)):
        return True
    try:
        tree = yaml.safe_load((run_dir / names.CONFIG).read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(tree, dict) and {"scenario", "engine", "loadgen"} <= tree.keys()
