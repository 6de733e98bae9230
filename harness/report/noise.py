"""How sure a run is of its own figures, from the run itself.

A run is cut into equal stretches; latencies of neighbouring samples depend on each other (they shared a batch), so
whole stretches are drawn again and again (block bootstrap), never single ones. What this cannot see is what stays for a
whole run, such as another GPU or a warmer room: that needs repeats.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.rundir.events import Events, Floats

STRETCHES = 40
DRAWS = 500
CONFIDENCE = 95.0
EQUAL = 0.001  # of the mean: smaller differences are never called one
FEWEST = 2 * STRETCHES  # samples: of fewer, stretches say nothing
SMALL_T = {1: 12.706, 2: 4.303, 3: 3.182}
BOUNDS = ((100 - CONFIDENCE) / 2, (100 + CONFIDENCE) / 2)


def rate_draws(events: Events, weights: Floats, *, seed: int) -> Floats:
    """Rates relative to their mean, shape [DRAWS]. ``weights``: what each sample counts, shape [n].

    The spread is that of the run's middle, between ramp and drain. NaN where the run is too short to tell.
    """
    if len(events) < FEWEST:
        return np.full(DRAWS, np.nan)
    first, last = np.percentile(events.complete, 5), np.percentile(events.complete, 95)
    edges = np.linspace(first, last, STRETCHES + 1)
    steady = np.histogram(events.complete, edges, weights=weights)[0]
    draws = generator(seed).choice(steady, size=(DRAWS, len(steady))).mean(axis=1)
    return np.asarray(draws / (steady.mean() or 1.0))


def percentile_draws(values: Floats, percents: Sequence[float], *, seed: int) -> Floats:
    """Percentiles of each draw, shape [DRAWS, len(percents)]. ``values`` in order of time; NaN are left out.

    Sorted once; a draw only changes how often each value counts, so it costs one cumulative sum. NaN of too few values.
    """
    values = values[np.isfinite(values)]
    if len(values) < FEWEST:
        return np.full((DRAWS, len(percents)), np.nan)
    count = min(STRETCHES, max(len(values) // 20, 1))
    stretch = np.arange(len(values)) * count // len(values)
    order = np.argsort(values)
    values, stretch = values[order], stretch[order]
    picks = generator(seed).integers(0, count, size=(DRAWS, count))
    found = np.empty((DRAWS, len(percents)))
    for at, pick in enumerate(picks):
        weight = np.cumsum(np.bincount(pick, minlength=count)[stretch])
        found[at] = values[np.searchsorted(weight, np.array(percents) / 100 * weight[-1])]
    return found


def generator(seed: int) -> np.random.Generator:
    """The same figures give the same intervals."""
    return np.random.default_rng(seed)


def bounds(draws: Floats) -> tuple[float, float]:
    """The 95 % interval of some draws."""
    low, high = np.percentile(draws, BOUNDS)
    return float(low), float(high)


def t_975(freedom: int) -> float:
    """Student's t, two-sided 95 %, to 2 % (Abramowitz and Stegun 26.7.5; below 4 degrees of freedom from a table)."""
    if freedom in SMALL_T:
        return SMALL_T[freedom]
    z = 1.959964
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
