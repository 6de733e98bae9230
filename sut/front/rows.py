"""Answers as arrays, from a share's message to LoadGen's call."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sut.dispatching import Batch


class Rows(NamedTuple):
    """Samples for LoadGen: ``ids``, and their ``tokens`` (uint8, [samples, bytes]) as far as ``sizes`` (bytes) says."""

    ids: list[int]
    sizes: npt.NDArray[np.int32]
    tokens: npt.NDArray[np.uint8]

    def batch(self, count: int | None = None) -> Batch:
        """The first ``count`` of them (all), one by one."""
        rows = zip(self.ids[:count], self.sizes.tolist(), self.tokens, strict=False)
        return [(number, row[:size].tobytes()) for number, size, row in rows]


NO_ROWS = Rows([], np.empty(0, np.int32), np.empty((0, 4), np.uint8))
RowReports = Callable[[Rows, Rows], None]
