"""The coordinated benchmark: a LoadGen for each node (or share of a machine), all started at the same moment.

A barrier in two steps: every member loads, warms up and says that it is ready; then all get a time to begin at, each in
terms of its own clock, whose offset was measured over the same connection.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from harness.config import RunConfig
from harness.rundir import names
from harness.rundir.record import RunRecord
from harness.rundir.scaling import Counts, Rate, ScalingRecord, ScalingStep, TokenSummary
from harness.scaling.analysis import analyse
from harness.scaling.figures import imbalance, run_figures
from harness.scaling.members import Handle, Place
from harness.scaling.report import save
from mlperf_llama_base.errors import EnvironmentFault, RunError

LEAD_S = 3.0  # from the order to the start: longer than the slowest call takes
POLL_S = 0.5


def run_coordinated(config: RunConfig, places: Sequence[Place], *, output: Path, console: Console) -> ScalingRecord:
    """Baselines (one worker alone, of each kind), then all members at once. Returns what ``scaling.json`` holds."""
    output.mkdir(parents=True, exist_ok=True)
    baselines: dict[str, ScalingStep] = {}
    for place in {p.kind: p for p in reversed(places)}.values():
        console.print(f"baseline: one worker on {place.name} ({place.kind})", highlight=False)
        folder = output / f"baseline-{len(baselines)}"
        together(config, [place], folders=[folder], workers=1)
        figures = run_figures(folder, member=place.name)
        baselines[figures.workers[0].kind] = figures
    console.print(f"coordinated: {len(places)} LoadGens at once", highlight=False)
    folders = [output / place.name for place in places]
    starts = together(config, places, folders=folders, workers=None)
    members = [run_figures(folder, member=place.name) for folder, place in zip(folders, places, strict=True)]
    total = add_up(members)
    total.scaling = analyse(total, baselines)
    facts: dict[str, str | int | None] = {
        "scenario": config.scenario.value,
        "engine": config.engine.name,
        "model": config.model.path,
        "LoadGens": len(places),
        "start spread": f"{(max(starts) - min(starts)) * 1e3:.1f} ms",
    }
    return save(output, kind="coordinated", baselines=baselines, steps=[total], facts=facts)


def together(
    config: RunConfig, places: Sequence[Place], *, folders: Sequence[Path], workers: int | None
) -> list[float]:
    """Run one session on each place, started together. Returns when each began, in s of this machine's clock.

    Raises ``EnvironmentFault`` naming who was not ready by ``workers.start_timeout_s``, ``RunError`` naming who broke.
    """
    handles: list[Handle] = []
    try:
        for place, folder in zip(places, folders, strict=True):
            handles.append(place.start(config, folder=folder, workers=workers))
        _until_ready(handles, config.workers.start_timeout_s)
        offsets = [clock_offset(handle) for handle in handles]
        at = time.time() + LEAD_S
        for handle, offset in zip(handles, offsets, strict=True):
            handle.call("go", at + offset)
        if time.time() > at:
            raise RunError(f"telling {len(handles)} members to start took longer than {LEAD_S:g} s: try again")
        _until_ended(handles)
        for handle, folder in zip(handles, folders, strict=True):
            handle.call("finish")
            handle.fetch(folder)
        return [_began(folder) - offset for folder, offset in zip(folders, offsets, strict=True)]
    finally:
        for handle in handles:
            with contextlib.suppress(RunError):
                handle.call("stop")


def clock_offset(handle: Handle) -> float:
    """Seconds by which the member's clock is ahead; of five round trips the shortest."""
    trips = []
    for _ in range(5):
        sent = time.time()
        there = handle.call("now")
        took = time.time() - sent
        trips.append((took, there - sent - took / 2))
    return float(min(trips)[1])


def _until_ready(handles: Sequence[Handle], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    waiting = {handle.name: "no answer yet" for handle in handles}
    while waiting:
        for handle in handles:
            state = handle.call("state")
            if state.ended is not None:
                raise EnvironmentFault(f"{handle.name} could not be started: {state.error}")
            waiting[handle.name] = state.phase
            if state.phase == "ready":
                del waiting[handle.name]
        if waiting and time.monotonic() > deadline:
            who = ", ".join(f"{name} ({phase})" for name, phase in waiting.items())
            raise EnvironmentFault(f"not ready within {timeout_s:.0f} s: {who} (workers.start_timeout_s)")
        time.sleep(POLL_S)


def _until_ended(handles: Sequence[Handle]) -> None:
    running = list(handles)
    while running:
        time.sleep(POLL_S)
        for handle in list(running):
            state = handle.call("state")
            if state.ended is not None:
                if state.ended:
                    raise RunError(f"{handle.name}: {state.error}; the results of the others do not count")
                running.remove(handle)


def _began(folder: Path) -> float:
    session = RunRecord(folder).session
    if session is None or session.test_started is None:
        raise RunError(f"{folder} does not say when its test began: see {folder / names.SESSION_LOG}")
    return datetime.datetime.fromisoformat(session.test_started).timestamp()


def add_up(members: Sequence[ScalingStep]) -> ScalingStep:
    """All members as one: counts and speeds added (LoadGen's own of each), the scatter as of independent sums."""
    halves = [m.tokens_per_second.ci95 for m in members]
    half = None if None in halves else sum((h or 0.0) ** 2 for h in halves) ** 0.5
    workers = [msgspec.structs.replace(w, id=f"{m.directory}/{w.id}") for m in members for w in m.workers]
    return ScalingStep(
        directory="coordinated",
        samples=Counts(
            issued=sum(m.samples.issued for m in members),
            completed=sum(m.samples.completed for m in members),
            lost=sum(m.samples.lost for m in members),
            retried=sum(m.samples.retried for m in members),
        ),
        valid=all(m.valid for m in members),
        invalid_reasons=sorted({f"{m.directory}: {r}" for m in members for r in m.invalid_reasons}),
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
