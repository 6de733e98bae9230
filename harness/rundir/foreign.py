"""Runs of other harnesses: LoadGen's logs, and beside them at most an accuracy.txt; and where runs lie in a tree."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.loadgen.accuracy_text import HASH, PATTERNS, read_count, read_scores
from harness.rundir import names
from harness.rundir.ours import is_ours
from harness.rundir.scores import Accuracy
from mlperf_llama_base.errors import UserError


def is_foreign(run_dir: Path) -> bool:
    """LoadGen's logs are here and none of our files: another harness ran the test."""
    return (
        (run_dir / names.DETAIL_LOG).is_file()
        and not any((run_dir / name).is_file() for name in (names.SESSION, names.STATUS))
        and not any(is_ours(run_dir / name) for name in (names.CONFIG, names.RESULT))
    )


def foreign_scores(run_dir: Path, *, official: int, issued: int | None) -> Accuracy | None:
    """What accuracy.txt says; who scored, and with which tokenizer, it does not say.

    ``official``: samples of the benchmark; ``issued``: those of LoadGen's log, where accuracy.txt does not count them.
    """
    path = run_dir / names.ACCURACY_TEXT
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    found = {name: values[-1] for name, values in read_scores(text).items()}
    if found.keys() != PATTERNS.keys():
        return None
    count = read_count(text) or issued or 0
    digest = HASH.search(text)
    return Accuracy(
        rouge1=found["rouge1"],
        rouge2=found["rouge2"],
        rougeL=found["rougeL"],
        rougeLsum=found["rougeLsum"],
        gen_len=int(found["gen_len"]),
        gen_num=count,
        expected=official,
        partial=None if count == official else f"{count} samples; the benchmark has {official}",
        log_sha256=digest[1].lower() if digest else None,
    )


def is_endpoints(path: Path) -> bool:
    """A scenario measured by MLCommons' endpoints tool lies here: the other form of submission, without LoadGen."""
    return (path / "performance" / "result_summary.json").is_file()


def is_run_dir(path: Path) -> bool:
    """A run left something here that can be judged."""
    if any((path / name).is_file() for name in (names.SESSION, names.DETAIL_LOG)):
        return True
    return (path / names.CONFIG).is_file() and not is_endpoints(path)


def no_run(path: Path) -> UserError:
    """What to say of a directory that holds no run."""
    if is_endpoints(path):
        return UserError(
            f"{path} holds an Endpoints run, not LoadGen's: mlperf-llama submission check judges the tree that it is in"
        )
    return UserError(f"{path} is not a run directory: it has no {names.CONFIG}, {names.SESSION} or {names.DETAIL_LOG}")


def find_runs(given: Sequence[Path]) -> list[Path]:
    """The runs among ``given`` and below them, at any depth, in order; Endpoints runs too, which a reader refuses.

    Nothing is looked for below a run. Raises ``UserError`` for a path that holds none.
    """
    runs: list[Path] = []
    for path in given:
        if not path.exists():
            raise UserError(f"{path} does not exist: give run directories, or folders that hold some")
        found = [path] if is_run_dir(path) or is_endpoints(path) else list(_below(path))
        if not found:
            raise UserError(f"{path} holds no run: neither LoadGen's {names.DETAIL_LOG} nor a run of mlperf-llama")
        runs += found
    return list(dict.fromkeys(runs))


def _below(top: Path) -> Iterator[Path]:
    """A config.yaml alone is a run's only if we wrote it: such files lie in every tree of sources.

    The directory of a search or of a whole benchmark is none itself, its runs lie below. A link is followed once.
    """
    seen: set[Path] = set()
    for folder, below, files in os.walk(top, followlinks=True):
        path = Path(folder)
        if path.resolve() in seen:
            below.clear()
            continue
        seen.add(path.resolve())
        below.sort()
        whole = any(name in files for name in (names.TUNE, names.SCALING, names.EXECUTION))
        begun = names.CONFIG in files and not whole and is_ours(path / names.CONFIG)
        if names.DETAIL_LOG in files or names.SESSION in files or begun or is_endpoints(path):
            below.clear()
            yield path
