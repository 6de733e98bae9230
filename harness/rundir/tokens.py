"""When a run's tokens were made: what every chart of tokens over time is drawn from.

An answer's tokens do not come with its completion, all at once: the first exists at its own time, the others follow
evenly until the completion. A batch that starts and ends together would else look like an engine that rests for
seconds and then makes thousands of tokens in a moment.
"""

from __future__ import annotations

import numpy as np

from harness.rundir.events import Events, Floats


def tokens_made(events: Events, at: Floats, *, capacity: int | None = None) -> Floats:
    """How many tokens there were at each time of ``at`` (seconds since the first issue), same shape.

    ``capacity``: samples that a worker works on at once; it tells, where first tokens have no time, since when a
    sample was worked on and not only waiting in its worker.
    """
    known = np.isfinite(events.first_token)
    begun = np.where(known, events.first_token, _begun(events, capacity))
    first = known & (events.output_tokens > 1)  # one token alone comes with the completion
    spread = events.output_tokens - first
    took = np.maximum(events.complete - begun, 1e-9)
    return np.array([float((first & (begun <= t)).sum() + spread @ np.clip((t - begun) / took, 0, 1)) for t in at])


def token_rate(events: Events, edges: Floats, *, capacity: int | None = None) -> Floats:
    """Tokens a second between ``edges`` (shape [bins + 1], seconds), shape [bins]."""
    return np.asarray(np.diff(tokens_made(events, edges, capacity=capacity)) / np.diff(edges))


def _begun(events: Events, capacity: int | None) -> Floats:
    """When work on each sample can have begun: it was there, and one of its worker's places was free."""
    begun = events.dispatch.copy()
    if capacity is None:
        return begun
    for worker in np.unique(events.worker):
        mine = np.flatnonzero(events.worker == worker)
        order = mine[np.argsort(events.complete[mine], kind="stable")]
        late = order[capacity:]
        begun[late] = np.maximum(begun[late], events.complete[order[: len(late)]])
    return begun
