"""Playing long runs takes seconds of computing, which the hub and its clock must not wait for: others do it."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from harness.tune.long_runs import Mapper
from mlperf_llama_base.orphans import die_with_parent

MOST = 16


@contextmanager
def processes() -> Iterator[Mapper]:
    """A ``map`` over processes of its own for a block, on the cores that are free of the hub and a worker's loop."""
    context = multiprocessing.get_context("spawn")
    count = max(1, min(MOST, len(os.sched_getaffinity(0)) - 2))
    with ProcessPoolExecutor(count, mp_context=context, initializer=_begin) as pool:

        def run(function: Callable[..., Any], cases: Iterable[Any]) -> Iterable[Any]:
            return pool.map(function, cases)

        try:
            yield run
        finally:
            pool.shutdown(cancel_futures=True)


def _begin() -> None:
    die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):  # the tuner decides when it ends
        signal.signal(number, signal.SIG_IGN)
