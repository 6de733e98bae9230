"""What is to run: the three benchmarks as command lines, how large each is, and how long it should take."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.campaign.plan import Step
from harness.campaign.state import Fingerprints
from harness.config import RunConfig
from harness.rundir.execution import PartName

NAMES: tuple[PartName, ...] = ("datacenter", "distributed", "coordinated")


@dataclass(frozen=True, kw_only=True)
class PartPlan:
    """``arguments``: of ``mlperf-llama``. ``fresh``: it wants a directory that is not there. ``seconds``: estimate
    without loading the model, None: unknown. ``steps``: runs of a campaign.
    """

    name: PartName
    arguments: Sequence[str]
    config: RunConfig
    fresh: bool = False
    seconds: float | None = None
    steps: Sequence[Step] = field(default=())

    def command(self, directory: Path) -> list[str]:
        return [sys.executable, "-m", "harness", *self.arguments, "--output", str(directory)]

    def inputs(self, fingerprints: Fingerprints) -> str:
        """A digest of all that its result depends on: command, configuration, model, data set, code."""
        parts = [*self.arguments, *(f"{k}={v}" for k, v in sorted(fingerprints.of(self.config).items()))]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def sized(samples: int | None) -> list[str]:
    """``--set`` values for tests of so many samples; None: as long as the profile and the rules say."""
    if samples is None:
        return []
    return [f"dataset.limit={samples}", f"loadgen.min_query_count={samples}", "loadgen.min_duration_ms=1"]
