"""Speed-up and efficiency against the measured baselines, and what about them needs saying."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

from harness.rundir.scaling import Efficiency, ScalingStep


def analyse(step: ScalingStep, baselines: Mapping[str, ScalingStep]) -> Efficiency:
    """Compare a step with the sum of what its workers' kinds do alone.

    ``efficiency`` has a 95 % interval: both speeds' own, added in quadrature, since the runs are independent.
    """
    numbers = Counter(worker.kind for worker in step.workers)
    alone = {kind: baselines[kind].tokens_per_second for kind in numbers}
    expected = sum(number * alone[kind].value for kind, number in numbers.items())
    one = max((b.tokens_per_second.value for b in baselines.values()), default=0.0)
    speed = step.tokens_per_second
    if not expected or not one:
        return Efficiency(workers=len(step.workers))
    efficiency = speed.value / expected
    half = None
    if speed.ci95 is not None and None not in (spreads := [alone[kind].ci95 for kind in numbers]):
        # workers of one kind share one baseline: its error is common to them and does not average out
        spread = sum((n * (ci95 or 0.0)) ** 2 for n, ci95 in zip(numbers.values(), spreads, strict=True))
        half = efficiency * math.hypot(speed.ci95 / speed.value, math.sqrt(spread) / expected)
    return Efficiency(
        workers=len(step.workers),
        speed_up=speed.value / one,
        efficiency=efficiency,
        efficiency_ci95=half,
        notes=notes(efficiency, half),
    )


def notes(efficiency: float, half: float | None) -> list[str]:
    out = []
    if efficiency > 1:
        inside = half is not None and efficiency - half <= 1
        out.append(
            f"{efficiency:.1%} is more than all workers can do: noise in the baseline"
            + (f"; the interval of {half:.1%} either way includes 100 %" if inside and half is not None else "")
            + ("" if inside else "; measure the baseline for longer")
        )
    if half is None:
        out.append("too short for a confidence interval: each twentieth of the test needs at least two samples")
    return out


def issues(steps: Iterable[ScalingStep]) -> list[str]:
    """Everything that a reader must know of these runs, each as one sentence."""
    found = []
    for step in steps:
        name, s = step.directory, step.samples
        if s.lost or s.issued != s.completed:
            found.append(f"{name}: {s.issued} issued, {s.completed} completed, {s.lost} lost")
        if s.retried:
            found.append(f"{name}: {s.retried} samples were given to another worker after a fault")
        found += [f"{name}: worker {w.worker} on {w.node or 'no node'} was lost: {w.reason}" for w in step.lost_workers]
        if step.imbalance is not None and step.imbalance > 0.1:
            found.append(f"{name}: the fastest and the slowest worker are {step.imbalance:.0%} of the mean apart")
        found += [f"{name}: {note}" for note in (step.scaling.notes if step.scaling else [])]
        found += [f"{name}: {reason}" for reason in step.invalid_reasons]
    return found
