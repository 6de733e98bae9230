"""A coordinated benchmark that really ran, beside a distributed run: what the command leaves for the record."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import Scenario
from tests.harness.fake_run import write_run
from tests.harness.scaling.test_scaling import NULL, call
from tests.helpers.command import settings


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``coordinated``: two real LoadGens with the null engine. ``distributed``: made up, 16 workers on two nodes."""
    root = tmp_path_factory.mktemp("execution")
    size = settings("loadgen.min_query_count=72", "loadgen.min_duration_ms=1")
    assert call("benchmark", "coordinated", *NULL, *size, "--workers", "2", "--output", str(root / "coordinated")) == 0
    write_run(root / "distributed", scenario=Scenario.OFFLINE, samples=800, rate=20.0, workers=16)
    return root
