"""The first five minutes: three short runs of the demo, one bar over all of them, and a Server run that can be VALID.

Each run is an ordinary ``mlperf-llama run`` in a process of its own; what it prints goes to a file beside it.
LoadGen's early stopping takes 459 queries without one over a limit to call a Server run VALID: these are single
sentences with answers of 16 tokens, at a rate at which two shared cores were seen to miss the limits.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from harness import demo
from harness.rundir.status import read_status
from mlperf_llama_base.errors import EnvironmentFault, HarnessError, RunError, UserError

SERVER_QUERIES = demo.SENTENCES
SERVER_QPS = 3.3
STARTING = 0.1  # of a step's time: loading the model
POLL_S = 0.25
KINDS: dict[int, type[HarnessError]] = {kind.exit_code: kind for kind in (UserError, EnvironmentFault, RunError)}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One run. ``weight``: its seconds on two idle cores."""

    name: str
    title: str
    options: tuple[str, ...]
    weight: float


def steps(sentences: Path) -> list[Step]:
    """Offline performance, Offline accuracy, Server performance."""

    def few(count: int) -> tuple[str, ...]:
        return ("--set", f"dataset.limit={count}", "--set", f"loadgen.min_query_count={count}")

    server = ("--dataset", str(sentences), "--target-qps", str(SERVER_QPS), "--set", "engine.max_new_tokens=16")
    return [
        Step(
            name="offline-performance",
            title="Offline: how many tokens a second",
            options=("--scenario", "offline", "--mode", "performance", *few(12)),
            weight=30,
        ),
        Step(
            name="offline-accuracy",
            title="Accuracy: how good the summaries are",
            options=("--scenario", "offline", "--mode", "accuracy", *few(12)),
            weight=30,
        ),
        Step(
            name="server-performance",
            title="Server: how long a user waits",
            options=("--scenario", "server", "--mode", "performance", *few(SERVER_QUERIES), *server),
            weight=SERVER_QUERIES / SERVER_QPS + 8,
        ),
    ]


def show_all(folder: Path, *, options: Sequence[str], console: Console) -> list[Path]:
    """Run the steps into ``folder``; ``options``: of ``mlperf-llama run``, for each of them. Returns their directories.

    A run that is not valid does not stop the others. Of one that did not come to an end, its own error is raised.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = steps(demo.demo_sentences())
    total = sum(step.weight for step in wanted)
    with _bar(console, total) as at:
        for number, step in enumerate(wanted):
            before = sum(earlier.weight for earlier in wanted[:number])
            show = partial(_show, at, f"{number + 1}/{len(wanted)}  {step.title}", before, step.weight)
            _run(step, folder, options, show)
        at("done", total)
    return [folder / step.name for step in wanted]


def _show(at: Callable[[str, float], None], said: str, before: float, weight: float, part: float) -> None:
    at(said, before + part * weight)


def _run(step: Step, folder: Path, options: Sequence[str], at: Callable[[float], None]) -> None:
    """One run to its end, while ``at`` is told which part of it is done."""
    target, log = folder / step.name, folder / f"{step.name}.log"
    command = [sys.executable, "-m", "harness", "run", *_profile(options), *step.options, *options]
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [*command, "--output", str(target), "--overwrite"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"COLUMNS": "160", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        try:
            while process.poll() is None:
                at(_part(target))
                time.sleep(POLL_S)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode > 1:
        lines = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
        last = lines[-1].removeprefix("mlperf-llama: ") if lines else "no message"
        raise KINDS.get(process.returncode, RunError)(f"{step.name}: {last} (all of it: {log})")


def _profile(options: Sequence[str]) -> tuple[str, ...]:
    return () if "--profile" in options else ("--profile", "cpu-demo")


def _part(run_dir: Path) -> float:
    """From 0 to 1: a run that is being prepared has the first tenth of its time."""
    status = read_status(run_dir)
    if status is None or not status.expected:
        return 0.0
    return STARTING + (1 - STARTING) * min(1.0, status.completed / max(status.expected, status.issued, 1))


@contextmanager
def _bar(console: Console, total: float) -> Iterator[Callable[[str, float], None]]:
    """A terminal gets one moving bar, anything else a line for each step."""
    if not console.is_terminal:
        yield _lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total)
        yield lambda said, at: bar.update(task, description=said, completed=at)


def _lines(console: Console) -> Callable[[str, float], None]:
    said_last = ""

    def say(said: str, at: float) -> None:
        nonlocal said_last
        if said != said_last:
            said_last = said
            console.print(said, highlight=False)

    return say
