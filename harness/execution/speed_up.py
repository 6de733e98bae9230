"""The whole cluster against one worker of each kind alone, as the coordinated (or scaling) benchmark measured it."""

from __future__ import annotations

from harness.rundir.execution_results import Baseline, ClusterResult, Scaling, ScalingPoint
from harness.rundir.scaling import Counts, Rate, ScalingRecord, ScalingStep, WorkerSpeed
from harness.scaling.analysis import analyse


def scaling_of(record: ScalingRecord | None, distributed: ClusterResult | None) -> Scaling | None:
    """The steps of ``record``; and the one LoadGen over all nodes (``distributed``) beside the same baselines.

    None without a baseline: no efficiency is said then.
    """
    if record is None or not record.baselines:
        return None
    points = [_point(step, record.baselines) for step in record.steps]
    if distributed is not None and (step := _as_step(distributed)) is not None:
        known = {worker.kind for worker in step.workers} <= record.baselines.keys()
        points[:0] = [_point(step, record.baselines)] if known else []
    return Scaling(
        part=record.kind,
        baselines=[
            Baseline(
                kind=kind,
                tokens_per_second=alone.tokens_per_second,
                samples_per_second=alone.samples_per_second,
                samples_completed=alone.samples_completed,
                seconds=alone.seconds,
            )
            for kind, alone in record.baselines.items()
        ],
        points=points,
    )


def _point(step: ScalingStep, baselines: dict[str, ScalingStep]) -> ScalingPoint:
    found = step.scaling or analyse(step, baselines)
    ideal = found.speed_up / found.efficiency if found.speed_up and found.efficiency else None
    return ScalingPoint(
        name=step.directory,
        workers=found.workers,
        valid=step.valid,
        too_short=step.too_short,
        tokens_per_second=step.tokens_per_second,
        speed_up=found.speed_up,
        ideal=ideal,
        efficiency=found.efficiency,
        efficiency_ci95=found.efficiency_ci95,
    )


def _as_step(result: ClusterResult) -> ScalingStep | None:
    """What the analysis of scaling looks at; None if nothing was completed."""
    if result.tokens_per_second is None or not result.worker_rates:
        return None
    return ScalingStep(
        directory=result.part,
        samples=Counts(issued=result.samples_issued or 0, completed=result.samples_completed),
        samples_completed=result.samples_completed,
        samples_per_second=result.samples_per_second or 0.0,
        tokens_per_second=result.tokens_per_second,
        valid=result.valid,
        too_short=result.too_short,
        seconds=result.seconds or 0.0,
        workers=[
            WorkerSpeed(
                id=w.id,
                node=w.node,
                gpu=w.gpu,
                samples_completed=w.samples_completed,
                samples_per_second=0.0,
                tokens_per_second=w.tokens_per_second or Rate(value=0.0),
            )
            for w in result.worker_rates
        ],
    )
