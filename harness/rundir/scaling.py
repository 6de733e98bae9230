"""scaling.json as types: what one worker of each kind does alone, and many together."""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.rundir.result import Reading, state_of
from harness.rundir.session import LostWorker

SCHEMA_VERSION = 2


class Rate(msgspec.Struct, kw_only=True, frozen=True):
    """Per second, over the whole test; ``ci95``: half of the 95 % interval's width, null if there is too little."""

    value: float
    ci95: float | None = None


class Counts(msgspec.Struct, kw_only=True):
    """Samples of the run (see :class:`harness.rundir.session.Samples`)."""

    issued: int = 0
    completed: int = 0
    lost: int = 0
    retried: int = 0


class LatencySummary(msgspec.Struct, kw_only=True):
    """Seconds of a request, from when a worker was given it (up to version 1: from LoadGen's issue) to its "
    "completion."""

    mean: float
    p50: float
    p99: float


class TokenSummary(msgspec.Struct, kw_only=True):
    """Tokens of a sample, and of all together."""

    mean: float
    min: int
    p50: float
    p99: float
    max: int
    total: int


class Speed(msgspec.Struct, kw_only=True):
    """What was completed, over the seconds of the test."""

    samples_completed: int
    samples_per_second: float
    tokens_per_second: Rate
    output_tokens: int | None = None
    latency_s: LatencySummary | None = None


class WorkerSpeed(Speed, kw_only=True):
    """Of one worker. ``gpu``: null for one on CPUs."""

    id: int | str
    node: str | None = None
    gpu: str | None = None
    restarts: int | None = None
    rss_bytes: int | None = None

    @property
    def kind(self) -> str:
        """Workers of one kind have a baseline together."""
        return self.gpu or "CPU"


class NodeSpeed(Speed, kw_only=True):
    """Of the workers of one node."""

    node: str | None = None
    workers: int
    gpus: int
    kinds: list[str]


class Efficiency(msgspec.Struct, kw_only=True):
    """``speed_up``: against the fastest baseline; ``efficiency``: against the sum of what the kinds do alone."""

    workers: int
    speed_up: float | None = None
    efficiency: float | None = None
    efficiency_ci95: float | None = None
    notes: list[str] = []


class MemberOutcome(msgspec.Struct, kw_only=True):
    """How one LoadGen of a coordinated test ended. ``status``: ``ok``; ``invalid``: it ran, and does not count;
    ``broken``: it ended or fell silent ``at_s`` seconds after the common start; ``never started``.

    ``issued``, ``completed``: samples, as last heard of one that broke. ``began_s``: its start against the first one's.
    ``clock_offset_s``: how far its clock is ahead of ours; ``round_trip_s``: the shortest of a question to it.
    """

    name: str
    status: Literal["ok", "invalid", "broken", "never started"] = "ok"
    error: str | None = None
    log: str | None = None
    exit_code: int | None = None
    at_s: float | None = None
    issued: int = 0
    completed: int = 0
    expected: int | None = None
    began_s: float | None = None
    seconds: float | None = None
    clock_offset_s: float | None = None
    round_trip_s: float | None = None

    @property
    def told(self) -> str:
        """What befell it, in a sentence."""
        if self.status == "ok":
            return f"{self.name}: valid"
        if self.at_s is None:
            return f"{self.name} {'is not valid' if self.status == 'invalid' else 'never started'}: {self.error}"
        samples = f"{self.completed} of {self.expected or self.issued} samples done"
        return f"{self.name} broke {self.at_s:.1f} s after the start, {samples}: {self.error}"


class ScalingStep(Speed, kw_only=True):
    """One run. ``too_short``: as in its result. ``imbalance``: fastest to slowest worker, against the mean.
    ``scaling``: null for a baseline.

    ``members``: each LoadGen of a coordinated test; the figures are of those that were not broken.
    """

    directory: str
    samples: Counts
    valid: bool | None = None
    too_short: bool = False
    invalid_reasons: list[str] = []
    loadgen_tokens_per_second: float | None = None
    seconds: float
    imbalance: float | None = None
    workers: list[WorkerSpeed]
    nodes: list[NodeSpeed] = []
    tokens: dict[str, TokenSummary] = {}
    resources: dict[str, Reading] = {}
    lost_workers: list[LostWorker] = []
    scaling: Efficiency | None = None
    members: list[MemberOutcome] = []

    @property
    def headline(self) -> str:
        """What must stand before any figure of this run; empty if it counts."""
        broken = [m.name for m in self.members if m.status in ("broken", "never started")]
        if broken:
            rest = f"the figures are of the other {len(self.members) - len(broken)}"
            return f"BROKEN: {', '.join(broken)} of {len(self.members)} LoadGens did not get to the end; {rest}"
        if self.valid:
            return ""
        bad = [m.name for m in self.members if m.status == "invalid"]
        state = state_of(False, too_short=self.too_short).upper()
        return f"{state}: {', '.join(bad)}" if bad else state


class ScalingRecord(msgspec.Struct, kw_only=True):
    """``kind``: scaling or coordinated. ``baselines``: by kind of worker. The last step is the whole machine."""

    schema_version: int = SCHEMA_VERSION
    kind: str
    time: str
    facts: dict[str, str | int | None] = {}
    baselines: dict[str, ScalingStep]
    steps: list[ScalingStep]
    issues: list[str] = []
