"""The coordinated benchmark: a LoadGen for each node (or share of a machine), all started at the same moment.

A barrier in two steps: every member loads, warms up and says that it is ready; then all get a time to begin at, each in
terms of its own clock, whose offset was measured over the same connection (:mod:`harness.scaling.start`).
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from harness.config import RunConfig
from harness.rundir import names
from harness.rundir.files import write_record
from harness.rundir.record import RunRecord
from harness.rundir.scaling import Counts, MemberOutcome, Rate, ScalingRecord, ScalingStep, TokenSummary
from harness.rundir.status import Status
from harness.scaling.analysis import analyse
from harness.scaling.crew import Crew
from harness.scaling.figures import imbalance, run_figures
from harness.scaling.members import Place
from harness.scaling.save import save
from harness.scaling.start import Clock, Scattered, start_together
from mlperf_llama_base.errors import HarnessError, RunError

REPEATS = 3


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a test of several LoadGens left: how each ended, and the figures of those that ran to the end."""

    outcomes: list[MemberOutcome]
    figures: list[ScalingStep]


def run_coordinated(config: RunConfig, places: Sequence[Place], *, output: Path, console: Console) -> ScalingRecord:
    """Baselines (one worker alone, of each kind), then all members at once. Returns what ``scaling.json`` holds.

    A member that breaks is on record there and the others go on; without any, what the first one's fault was is raised.
    """
    output.mkdir(parents=True, exist_ok=True)
    baselines, missing = _baselines(config, places, output=output, console=console)
    console.print(f"coordinated: {len(places)} LoadGen(s) at once", highlight=False)
    folders = [output / place.name for place in places]
    part = together(config, places, folders=folders, workers=None)
    total = add_up(part.figures, part.outcomes)
    broken = any(outcome.status in ("broken", "never started") for outcome in part.outcomes)
    if not broken and all(worker.kind in baselines for worker in total.workers):
        total.scaling = analyse(total, baselines)
    facts: dict[str, str | int | None] = {
        "scenario": config.scenario.value,
        "engine": config.engine.name,
        "model": config.model.path,
        "LoadGens": len(places),
        "start spread": _spread(part.outcomes),
    }
    return save(output, kind="coordinated", baselines=baselines, steps=[total], facts=facts, known=missing)


def _baselines(
    config: RunConfig, places: Sequence[Place], *, output: Path, console: Console
) -> tuple[dict[str, ScalingStep], list[str]]:
    """One worker alone of each kind; and why there is none of a kind."""
    baselines: dict[str, ScalingStep] = {}
    missing = []
    for number, place in enumerate({p.kind: p for p in reversed(places)}.values()):
        console.print(f"baseline: one worker on {place.name} ({place.kind})", highlight=False)
        try:
            part = together(config, [place], folders=[output / f"{names.BASELINE}{number}"], workers=1)
        except HarnessError as error:
            text = f"baseline-{number}: no baseline of a {place.kind} worker: {error}"
            console.print(text, highlight=False, markup=False)
            missing.append(text)
        else:
            baselines[part.figures[0].workers[0].kind] = part.figures[0]
    return baselines, missing


def together(config: RunConfig, places: Sequence[Place], *, folders: Sequence[Path], workers: int | None) -> Part:
    """Run one session on each place, started together. Raises what the first one's fault is if none gets to its end."""
    for attempt in range(1, REPEATS + 1):
        crew = Crew([place.name for place in places])
        try:
            crew.each_start(
                {
                    place.name: functools.partial(place.start, config, folder=folder, workers=workers)
                    for place, folder in zip(places, folders, strict=True)
                }
            )
            crew.until_ready(config.workers.start_timeout_s)
            clocks = start_together(crew)
            crew.until_ended(functools.partial(_note, crew.outcomes, dict(zip(crew.outcomes, folders, strict=True))))
            return _gather(crew, clocks, dict(zip(crew.outcomes, folders, strict=True)))
        except Scattered as error:
            if attempt == REPEATS:
                raise RunError(f"{len(places)} members could not be started together: {error}") from error
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            crew.stop()
    raise AssertionError("not reached")


def _note(outcomes: Mapping[str, MemberOutcome], folders: Mapping[str, Path]) -> None:
    """What members elsewhere last said of themselves, where their files will come to: for whoever looks meanwhile, and
    all that there is after an interruption.
    """
    for name, outcome in outcomes.items():
        if (folders[name] / names.CONFIG).is_file():  # it runs here
            continue
        over = outcome.status != "ok" or outcome.exit_code is not None
        status = Status(
            time=time.time(),
            node=name,
            phase="finished" if outcome.exit_code == 0 else "failed" if over else "running",
            message=outcome.error,
            expected=outcome.expected,
            issued=outcome.issued,
            completed=outcome.completed,
        )
        with contextlib.suppress(OSError):  # a full disk is told where it costs something
            folders[name].mkdir(parents=True, exist_ok=True)
            write_record(folders[name] / names.STATUS, status)


def _gather(crew: Crew, clocks: Mapping[str, Clock], folders: Mapping[str, Path]) -> Part:
    """Fetch and read what the members left. Raises what the first one's fault is if nothing can be read."""
    alive = [name for name, outcome in crew.outcomes.items() if outcome.exit_code is not None]
    crew.bring(alive, folders)
    found: dict[str, ScalingStep] = {}
    for name in crew.left:
        try:
            found[name] = run_figures(folders[name], member=name)
        except HarnessError as error:
            crew.put_out(name, str(error))
    if not found:
        raise crew.fault()
    began = {name: _began(folders[name]) - clocks[name].offset_s for name in found}
    for name, outcome in crew.outcomes.items():
        if (folders[name] / names.SESSION_LOG).is_file():
            outcome.log = f"{folders[name].name}/{names.SESSION_LOG}"
        if name in clocks:
            outcome.clock_offset_s, outcome.round_trip_s = clocks[name].offset_s, clocks[name].shortest_s
        if name in found:
            step = found[name]
            outcome.began_s = began[name] - min(began.values())
            outcome.seconds, outcome.issued, outcome.completed = (
                step.seconds,
                step.samples.issued,
                step.samples.completed,
            )
            if not step.valid:
                outcome.status, outcome.error = "invalid", "; ".join(step.invalid_reasons) or None
    return Part(outcomes=list(crew.outcomes.values()), figures=list(found.values()))


def _spread(outcomes: Sequence[MemberOutcome]) -> str:
    return f"{max((o.began_s or 0.0) for o in outcomes) * 1e3:.1f} ms"


def _began(folder: Path) -> float:
    session = RunRecord(folder).session
    if session is None or session.test_started is None:
        raise RunError(f"{folder} does not say when its test began: see {folder / names.SESSION_LOG}")
    return datetime.datetime.fromisoformat(session.test_started).timestamp()


def add_up(members: Sequence[ScalingStep], outcomes: Sequence[MemberOutcome] = ()) -> ScalingStep:
    """All members as one: counts and speeds added (LoadGen's own of each), the scatter as of independent sums.

    ``outcomes``: of all that were asked; one that broke makes the whole invalid, and its samples are counted as lost.
    """
    halves = [m.tokens_per_second.ci95 for m in members]
    half = None if None in halves else sum((h or 0.0) ** 2 for h in halves) ** 0.5
    out = [o for o in outcomes if o.status in ("broken", "never started")]
    workers = [msgspec.structs.replace(w, id=f"{m.directory}/{w.id}") for m in members for w in m.workers]
    return ScalingStep(
        directory="coordinated",
        samples=Counts(
            issued=sum(m.samples.issued for m in members) + sum(o.issued for o in out),
            completed=sum(m.samples.completed for m in members) + sum(o.completed for o in out),
            lost=sum(m.samples.lost for m in members) + sum(o.issued - o.completed for o in out),
            retried=sum(m.samples.retried for m in members),
        ),
        valid=not out and all(m.valid for m in members),
        too_short=not out and any(m.too_short for m in members) and all(m.valid or m.too_short for m in members),
        invalid_reasons=sorted(
            {f"{m.directory}: {r}" for m in members for r in m.invalid_reasons} | {m.told for m in out}
        ),
        members=list(outcomes),
        seconds=max(m.seconds for m in members),
        samples_completed=sum(m.samples_completed for m in members),
        samples_per_second=sum(m.samples_per_second for m in members),
        tokens_per_second=Rate(value=sum(m.tokens_per_second.value for m in members), ci95=half),
        imbalance=imbalance(workers),
        workers=workers,
        nodes=[n for m in members for n in m.nodes],
        tokens={name: _tokens([m.tokens[name] for m in members], members) for name in ("input", "output")},
        resources={k: v for m in members for k, v in m.resources.items()},
        lost_workers=[lost for m in members for lost in m.lost_workers],
    )


def _tokens(parts: Sequence[TokenSummary], members: Sequence[ScalingStep]) -> TokenSummary:
    """Means weighted, extremes of all; a percentile is the largest of the members' (an upper bound)."""
    counts = [m.samples_completed for m in members]
    return TokenSummary(
        mean=sum(p.mean * n for p, n in zip(parts, counts, strict=True)) / sum(counts),
        min=min(p.min for p in parts),
        p50=sorted(p.p50 for p in parts)[len(parts) // 2],
        p99=max(p.p99 for p in parts),
        max=max(p.max for p in parts),
        total=sum(p.total for p in parts),
    )
