"""The scatter of a request's time: what a batch ends together is one observation."""

from __future__ import annotations

import numpy as np
import pytest

from harness.execution.times import request_time
from harness.rundir.events import Events, Floats


def events(complete: Floats) -> Events:
    count = len(complete)
    times = {"issue": np.zeros(count), "dispatch": np.zeros(count), "complete": complete}
    ints = {name: np.zeros(count, dtype=np.int64) for name in Events.__dataclass_fields__}
    return Events(**ints | times | {"first_token": np.full(count, np.nan)})


def test_one_batch_says_nothing_of_scatter() -> None:
    found = request_time(events(np.linspace(28.6, 28.6002, 200)))
    assert found is not None and found.mean == pytest.approx(28.6, rel=1e-4) and found.mean_ci95 is None


def test_batches_are_as_many_observations() -> None:
    ends = np.array([9.0, 10.0, 10.5, 11.0, 12.0])
    alone, fours = request_time(events(ends)), request_time(events(np.repeat(ends, 4)))
    assert alone is not None and fours is not None and alone.mean_ci95 is not None
    assert fours.mean_ci95 == pytest.approx(alone.mean_ci95)
