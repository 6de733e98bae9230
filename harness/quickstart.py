"""The first five minutes: three short runs of the demo, one bar over all of them, and a Server run that can be VALID.

Each run is an ordinary ``mlperf-llama run`` in a process of its own; what it prints goes to a file beside it.
LoadGen's early stopping takes 459 queries without one over a limit to call a Server run VALID: these are single
sentences with short answers. The limit that a CPU misses is TPOT's 100 ms, because every prompt that is read, and every
other answer in the batch, holds up the answers that are being written. Hence ``Pace``.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from harness import demo
from harness.rundir.status import read_status
from mlperf_llama_base.errors import EnvironmentFault, HarnessError, RunError, UserError

SERVER_QUERIES = demo.SENTENCES
CPUINFO = Path("/proc/cpuinfo")
BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
STARTING = 0.1  # of a step's time: loading the model
POLL_S = 0.25
PREPARING_S = 15.0
KINDS: dict[int, type[HarnessError]] = {kind.exit_code: kind for kind in (UserError, EnvironmentFault, RunError)}


@dataclass(frozen=True, kw_only=True)
class Step:
    """One run. ``of_demo``: options for the demo's engine alone. ``weight``: its seconds on two idle cores."""

    name: str
    title: str
    options: tuple[str, ...]
    of_demo: tuple[str, ...] = ()
    weight: float


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What the demo asks of a processor. ``qps``: queries/s of the Server run, ``tokens``: of its answers.

    On one core of an AMD EPYC a step in bfloat16 takes 30 ms for one answer and 36 for eight, one in float32 41 ms for
    one and 70 for two: without bfloat16 the answers are written one by one, and shorter.
    """

    dtype: str
    max_batch: int
    tokens: int
    qps: float

    def engine(self) -> tuple[str, ...]:
        """Options for the demo's engine in every run: one core is left to LoadGen and the harness."""
        cores = min(len(os.sched_getaffinity(0)), psutil.cpu_count(logical=False) or 1)
        return _set({"engine.args.dtype": self.dtype, "engine.args.threads": max(1, cores - 1)})

    def server(self) -> tuple[str, ...]:
        """Options for the demo's engine in the Server run."""
        return _set({"engine.args.max_batch": self.max_batch})


WITH_BF16 = Pace(dtype="bfloat16", max_batch=16, tokens=16, qps=5.0)
WITHOUT_BF16 = Pace(dtype="float32", max_batch=1, tokens=4, qps=3.0)


def pace(cpuinfo: Path = CPUINFO) -> Pace:
    """That of this processor, by its flags."""
    try:
        flags = set(cpuinfo.read_text(encoding="utf-8", errors="replace").split())
    except OSError:
        flags = set()
    return WITH_BF16 if flags & BF16_FLAGS else WITHOUT_BF16


def _set(values: dict[str, object]) -> tuple[str, ...]:
    return tuple(word for key, value in values.items() for word in ("--set", f"{key}={value}"))


def steps(sentences: Path, at: Pace) -> list[Step]:
    """Offline performance, Offline accuracy, Server performance."""

    def few(count: int) -> tuple[str, ...]:
        return _set({"dataset.limit": count, "loadgen.min_query_count": count})

    rate = ("--target-qps", str(at.qps), *_set({"engine.max_new_tokens": at.tokens}))
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
            options=(
                *("--scenario", "server", "--mode", "performance", "--dataset", str(sentences)),
                *(*few(SERVER_QUERIES), *rate),
            ),
            of_demo=at.server(),
            weight=SERVER_QUERIES / at.qps + 8,
        ),
    ]


def show_all(folder: Path, *, options: Sequence[str], console: Console) -> list[Path]:
    """Run the steps into ``folder``; ``options``: of ``mlperf-llama run``, for each of them. Returns their directories.

    A run that is not valid does not stop the others. Of one that did not come to an end, its own error is raised.
    """
    folder.mkdir(parents=True, exist_ok=True)
    speed = pace()
    total = PREPARING_S + sum(step.weight for step in steps(Path(), speed))
    logging.getLogger(demo.__name__).setLevel(logging.WARNING)  # the bar says it
    with _bar(console, total) as at:
        at("Preparing the demo's model and data (once)", 0)
        wanted = steps(demo.demo_sentences(), speed)
        done = PREPARING_S
        for number, step in enumerate(wanted):
            show = partial(_show, at, f"{number + 1}/{len(wanted)}  {step.title}", done, step.weight)
            _run(step, folder, (*_demo(options, speed, step), *step.options, *options), show)
            done += step.weight
        at("Done", total)
    return [folder / step.name for step in wanted]


def _show(at: Callable[[str, float], None], said: str, before: float, weight: float, part: float) -> None:
    at(said, before + part * weight)


def _run(step: Step, folder: Path, options: tuple[str, ...], at: Callable[[float], None]) -> None:
    """One run to its end, while ``at`` is told which part of it is done."""
    target, log = folder / step.name, folder / f"{step.name}.log"
    command = [sys.executable, "-m", "harness", "run", *options]
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


def _demo(options: Sequence[str], speed: Pace, step: Step) -> tuple[str, ...]:
    """The demo's profile, and what its engine is told, unless the user chose a profile or an engine."""
    if "--profile" in options:
        return ()
    told = () if "--engine" in options else (*speed.engine(), *step.of_demo)
    return ("--profile", "cpu-demo", *told)


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
