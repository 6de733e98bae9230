"""LoadGen's schedule of a Server test, made again: it is decided by the rate and the seed.

Source: mlcommons/inference, loadgen/loadgen.cc GenerateQueries and loadgen/utils.h ScheduleDistribution: gaps from
``std::exponential_distribution`` on a ``std::mt19937``, cut to whole ns; the first query is due at 0. As libstdc++ has
it, a gap takes two numbers of 32 bits, the low one first.
"""

from __future__ import annotations

from array import array

import numpy as np


def arrivals_ns(*, rate: float, seed: int, count: int) -> array[int]:
    """When the first ``count`` queries of a Server test are due, in ns from its start. ``rate`` in queries/s."""
    generator = np.random.RandomState(seed & 0xFFFFFFFF)  # as std::mt19937 is seeded
    numbers = generator.randint(0, 1 << 32, size=(count, 2), dtype=np.uint32).astype(np.float64)
    uniform = (numbers[:, 0] + numbers[:, 1] * 2.0**32) / 2.0**64
    gaps = (-np.log1p(-uniform) / rate * 1e9).astype(np.int64)
    return array("q", np.concatenate([[0], gaps.cumsum()[:-1]]).astype(np.int64).tobytes())
