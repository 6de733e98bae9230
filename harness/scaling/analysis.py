"""Speed-up and efficiency against the measured baselines, and what about them needs saying."""

from __future__ import annotations

import math
from typing import Any


def kind_of(worker: dict[str, Any]) -> str:
    return worker["gpu"] or "CPU"


def analyse(step: dict[str, Any], baselines: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Compare a step (see ``figures.describe``) with the sum of what its workers' kinds do alone.

    ``efficiency`` has a 95 % interval: both speeds' own, added in quadrature, since the runs are independent.
    """
    alone = [baselines[kind_of(worker)]["tokens_per_second"] for worker in step["workers"]]
    expected = sum(a["value"] for a in alone)
    one = max((b["tokens_per_second"]["value"] for b in baselines.values()), default=0.0)
    speed = step["tokens_per_second"]
    if not expected or not one:
        return {"workers": len(alone), "speed_up": None, "efficiency": None, "efficiency_ci95": None, "notes": []}
    efficiency = speed["value"] / expected
    half = None
    used = {kind_of(worker) for worker in step["workers"]}
    if speed["ci95"] is not None and all(baselines[k]["tokens_per_second"]["ci95"] is not None for k in used):
        # workers of one kind share one baseline: its error is common to them and does not average out
        numbers = {k: sum(kind_of(w) == k for w in step["workers"]) for k in used}
        spread = sum((n * baselines[k]["tokens_per_second"]["ci95"]) ** 2 for k, n in numbers.items())
        half = efficiency * math.hypot(speed["ci95"] / speed["value"], math.sqrt(spread) / expected)
    return {
        "workers": len(alone),
        "speed_up": speed["value"] / one,
        "efficiency": efficiency,
        "efficiency_ci95": half,
        "notes": notes(efficiency, half),
    }


def notes(efficiency: float, half: float | None) -> list[str]:
    out = []
    if efficiency > 1:
        inside = half is not None and efficiency - half <= 1
        out.append(
            f"{efficiency:.1%} is more than there is: noise of the baseline"
            + (f"; the interval of {half:.1%} either way includes 100 %" if inside and half is not None else "")
            + ("" if inside else "; measure the baseline for longer")
        )
    if half is None:
        out.append("too short for an interval of confidence: each twentieth of the test needs two samples at least")
    return out


def issues(steps: list[dict[str, Any]]) -> list[str]:
    """Everything that a reader must know of these runs, each as one sentence."""
    found = []
    for step in steps:
        name, s = step["directory"], step["samples"]
        if s["lost"] or s["issued"] != s["completed"]:
            found.append(f"{name}: {s['issued']} issued, {s['completed']} completed, {s['lost']} lost")
        if s["retried"]:
            found.append(f"{name}: {s['retried']} samples were given to another worker after a fault")
        found += [
            f"{name}: worker {w['worker']} on {w['node'] or 'no node'} was lost: {w['reason']}"
            for w in step["lost_workers"]
        ]
        if step["imbalance"] is not None and step["imbalance"] > 0.1:
            found.append(f"{name}: the fastest and the slowest worker are {step['imbalance']:.0%} of the mean apart")
        found += [f"{name}: {note}" for note in (step.get("scaling") or {}).get("notes", [])]
        found += [f"{name}: {reason}" for reason in step["invalid_reasons"]]
    return found
