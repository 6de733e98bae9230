"""What a run did, for each node and each GPU, from its saved files; and how sure its speed is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from harness.rundir import names
from harness.rundir.events import Events, Ints
from harness.rundir.metrics import summarize_metrics
from harness.rundir.record import RunRecord
from harness.rundir.scaling import Counts, LatencySummary, NodeSpeed, Rate, ScalingStep, TokenSummary, WorkerSpeed
from harness.rundir.session import Samples
from mlperf_llama_base.errors import RunError

SEGMENTS = 20
T_975 = 2.093  # Student's t for 19 degrees of freedom, two-sided 95 %
EDGE = 0.1  # of the time at either end: filling and draining belong to the result, but not to its scatter


class Fields(TypedDict):
    """Those of :class:`harness.rundir.scaling.Speed`."""

    samples_completed: int
    output_tokens: int
    samples_per_second: float
    tokens_per_second: Rate
    latency_s: LatencySummary | None


def rate(events: Events, *, seconds: float) -> Rate:
    """Tokens/s over ``seconds``, with an interval by batch means: the middle of the test is cut into equal segments,
    and the scatter of their speeds tells that of the mean (Law, Simulation Modeling and Analysis, chapter 9.5.3)."""
    if not len(events) or seconds <= 0:
        return Rate(value=0.0)
    value = float(events.output_tokens.sum()) / seconds
    edges = np.linspace(seconds * EDGE, seconds * (1 - EDGE), SEGMENTS + 1)
    place = np.digitize(events.complete, edges)
    counts = np.bincount(place, minlength=SEGMENTS + 2)[1 : SEGMENTS + 1]
    if counts.min() < 2:
        return Rate(value=value)
    sums = np.bincount(place, weights=events.output_tokens, minlength=SEGMENTS + 2)[1 : SEGMENTS + 1]
    speeds = sums / np.diff(edges)
    half = T_975 * float(speeds.std(ddof=1)) / math.sqrt(SEGMENTS)
    return Rate(value=value, ci95=half * value / float(speeds.mean()))


def run_figures(run_dir: Path, *, member: str | None = None) -> ScalingStep:
    """The figures of a finished run. ``member`` names the node in place of what the workers said (several LoadGens on
    one machine). Raises ``RunError`` if the run left no record of its samples.
    """
    run = RunRecord(run_dir)
    session, result, events = run.ran, run.result, run.events
    if events is None or not len(events):
        raise RunError(f"{run_dir / names.EVENTS} holds no sample: see {run_dir / names.SESSION_LOG}")
    seconds = events.duration
    workers = [
        WorkerSpeed(
            id=w.id,
            node=member or w.node,
            gpu=w.gpu,
            restarts=w.restarts,
            rss_bytes=w.rss_bytes,
            **_speed(events.of([int(w.id)]), seconds),
        )
        for w in session.workers
    ]
    return ScalingStep(
        directory=run_dir.name,
        samples=_counts(session.samples),
        valid=result.valid if result else None,
        too_short=result.too_short if result else False,
        invalid_reasons=result.invalid_reasons if result else [],
        loadgen_tokens_per_second=result.tokens_per_second if result else None,
        seconds=seconds,
        imbalance=imbalance(workers),
        workers=workers,
        nodes=_nodes(workers, events, seconds),
        tokens={"input": token_summary(events.input_tokens), "output": token_summary(events.output_tokens)},
        resources={} if run.metrics is None else summarize_metrics(run.metrics),
        lost_workers=session.lost_workers,
        **_speed(events, seconds),
    )


def _counts(samples: Samples) -> Counts:
    return Counts(
        issued=samples.issued or 0,
        completed=samples.completed or 0,
        lost=samples.lost or 0,
        retried=samples.retried or 0,
    )


def imbalance(workers: Sequence[WorkerSpeed]) -> float | None:
    """Tokens/s of the fastest worker less those of the slowest, against the mean; None if nobody did anything."""
    speeds = [w.tokens_per_second.value for w in workers]
    return (max(speeds) - min(speeds)) / (sum(speeds) / len(speeds)) if sum(speeds) else None


def _nodes(workers: Sequence[WorkerSpeed], events: Events, seconds: float) -> list[NodeSpeed]:
    nodes = []
    for name in dict.fromkeys(w.node for w in workers):
        here = [w for w in workers if w.node == name]
        nodes.append(
            NodeSpeed(
                node=name,
                workers=len(here),
                gpus=sum(w.gpu is not None for w in here),
                kinds=sorted({w.kind for w in here}),
                **_speed(events.of([int(w.id) for w in here]), seconds),
            )
        )
    return nodes


def _speed(events: Events, seconds: float) -> Fields:
    took = events.in_hand
    latency = None
    if len(took):
        p50, p99 = np.percentile(took, [50, 99])
        latency = LatencySummary(mean=float(took.mean()), p50=float(p50), p99=float(p99))
    return Fields(
        samples_completed=len(took),
        output_tokens=int(events.output_tokens.sum()),
        samples_per_second=len(took) / seconds if seconds else 0.0,
        tokens_per_second=rate(events, seconds=seconds),
        latency_s=latency,
    )


def token_summary(values: Ints) -> TokenSummary:
    """Of one sample at least."""
    p50, p99 = np.percentile(values, [50, 99])
    return TokenSummary(
        mean=float(values.mean()),
        min=int(values.min()),
        p50=float(p50),
        p99=float(p99),
        max=int(values.max()),
        total=int(values.sum()),
    )
