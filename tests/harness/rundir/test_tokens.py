"""Charts show tokens when they were made."""

from __future__ import annotations

import numpy as np
import pytest

from harness.rundir.events import Events, Floats
from harness.rundir.tokens import token_rate, tokens_made


def events(
    dispatch: list[float], complete: list[float], *, first: list[float] | None = None, tokens: int = 10
) -> Events:
    count = len(complete)
    ones = np.ones(count, dtype=np.int64)
    return Events(
        qsl_idx=np.arange(count),
        issue=np.zeros(count),
        dispatch=np.array(dispatch),
        first_token=np.full(count, np.nan) if first is None else np.array(first),
        complete=np.array(complete),
        input_tokens=ones,
        output_tokens=tokens * ones,
        worker=0 * ones,
        attempts=ones,
    )


def test_an_answer_s_tokens_lie_between_its_first_and_its_last() -> None:
    one = events([0.0], [11.0], first=[2.0])
    at = np.array([0.0, 1.99, 2.0, 3.0, 6.5, 11.0, 20.0])
    assert tokens_made(one, at) == pytest.approx([0, 0, 1, 2, 5.5, 10, 10])


def test_a_steady_engine_is_steady_without_first_tokens() -> None:
    """Waves of four: all are dispatched at once, and each wave begins when the one before it ends."""
    ends = [float(wave) for wave in range(1, 6) for _ in range(4)]
    edges: Floats = np.linspace(0, 5, 18)
    assert token_rate(events([0.0] * 20, ends), edges)[0] > 80  # waiting is taken for work
    assert token_rate(events([0.0] * 20, ends), edges, capacity=4) == pytest.approx(np.full(17, 40.0))


def test_no_token_is_lost() -> None:
    for some in (events([0.0, 1.0], [1.0, 1.0], first=[1.0, np.nan]), events([0.5], [0.5], tokens=1)):
        made = tokens_made(some, np.array([2.0]))
        assert made == pytest.approx([some.output_tokens.sum()])
