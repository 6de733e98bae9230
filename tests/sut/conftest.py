"""A rig for each test that asks for one, and the proof that no worker outlives it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.sut.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(**kwargs: Any) -> Rig:
        rigs.append(Rig(tmp_path, **kwargs))
        return rigs[-1]

    yield make
    for one in rigs:
        one.close()
    time.sleep(0.1)
    assert not [p for p in psutil.Process().children(recursive=True) if is_worker(p)]


def is_worker(process: psutil.Process) -> bool:
    try:
        return "sut.workers.main" in " ".join(process.cmdline())
    except psutil.Error:  # it has ended already
        return False
