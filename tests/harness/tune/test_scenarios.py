"""What a search begins with, without engines."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.tune.scenarios import AGAIN, steps_of_the_full
from sut.steps import FEWEST, StepSums


class Prober:
    """An engine kept full: so many blocks of steps are told each time."""

    def __init__(self, blocks: list[int]) -> None:
        self.left, self.sums, self.asked = list(blocks), StepSums(), 0
        self.system = SimpleNamespace(pause=lambda seconds: None)
        self.rng = np.random.default_rng(0)
        self._tell()

    def _tell(self) -> None:
        for _ in range(self.left.pop(0)):
            decoding, prompt = float(self.rng.integers(1, 500)), float(self.rng.integers(0, 4000))
            self.sums.add(5.0 + 0.036 * decoding + 0.0123 * prompt, decoding=decoding, prompt_tokens=prompt)

    def step_sums(self) -> StepSums:
        return self.sums + StepSums()

    def closed_loop(self, outstanding: int, *, seconds: float) -> None:
        assert (outstanding, seconds) == (640, 40.0)
        self.asked += 1
        self._tell()


@pytest.mark.parametrize(
    ("blocks", "asked", "told"),
    [
        ([FEWEST], 0, True),
        ([FEWEST - 2, 1, 1], 2, True),
        ([FEWEST - 2, 40], 1, True),
        ([1] * (AGAIN + 1), AGAIN, False),
    ],
)
def test_an_engine_is_kept_full_until_its_steps_tell_enough(blocks: list[int], asked: int, told: bool) -> None:
    prober: Any = Prober(blocks)
    full = steps_of_the_full(prober, outstanding=640, seconds=40.0, late_s=1.0)
    assert prober.asked == asked
    assert (full.fit() is not None) is told
