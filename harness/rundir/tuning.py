"""tune.json as types: what a search for the rate was asked, and all that it has found. See :mod:`harness.tune`."""

from __future__ import annotations

from typing import Any

import msgspec

SCHEMA_VERSION = 1


class Capacity(msgspec.Struct, kw_only=True):
    """The engine kept full with ``outstanding`` samples; in SingleStream with one."""

    samples_per_second: float
    outstanding: int
    samples: int
    latency_mean_ms: float | None = None
    latency_p90_ms: float | None = None
    duration_s: float


class Probe(msgspec.Struct, kw_only=True, frozen=True):
    """One probe's record; see :mod:`harness.tune` for the fields."""

    target_qps: float
    achieved_qps: float
    samples_per_second: float
    queries: int
    valid: bool
    reason: str
    ended: str
    whole: bool
    duration_s: float
    window_s: float
    allowed: int
    allowed_share: float
    early_stopping_met: bool
    ttft_over: int
    tpot_over: int
    ttft_p50_ms: float | None = None
    ttft_p90_ms: float | None = None
    ttft_p99_ms: float | None = None
    tpot_p50_ms: float | None = None
    tpot_p90_ms: float | None = None
    tpot_p99_ms: float | None = None
    headroom_ttft: float | None = None
    headroom_tpot: float | None = None
    error_ttft: float | None = None
    error_tpot: float | None = None
    tpot_room: float | None = None
    tpot_spread: float | None = None
    independent: float | None = None
    outstanding_mean: float = 0.0
    backlog_growth: float = 0.0


class Bracket(msgspec.Struct, kw_only=True):
    """``low``: valid up to; ``high``: not valid from; ``error_percent`` of the knee."""

    low: float | None = None
    high: float | None = None
    error_percent: float | None = None
    limited_by: str | None = None


class Found(msgspec.Struct, kw_only=True):
    """Where a search stands. Rates are samples/s; fields that do not apply are null."""

    capacity: Capacity | None = None
    ceiling_qps: float | None = None
    knee_qps: float | None = None
    bracket: Bracket | None = None
    best_qps: float | None = None
    target_latency_ms: float | None = None
    confidence: str | None = None
    probes: list[Probe] = []


class Trial(msgspec.Struct, kw_only=True):
    """One choice of engine settings; ``score``: samples/s, 0 where nothing valid was found. ``state``: done, failed."""

    settings: dict[str, Any]
    state: str
    score: float = 0.0
    error: str | None = None
    duration_s: float = 0.0
    capacity: Capacity | None = None
    ceiling_qps: float | None = None
    bracket: Bracket | None = None
    probes: list[Probe] = []


class Confirmation(msgspec.Struct, kw_only=True):
    """One run of LoadGen's own at the rate (or the latency) that was found. ``over``: of ``queries`` that were done,
    those over the limit that most were over, ``limited_by``; ``allowed_share``: of a run of its whole length."""

    directory: str
    target_qps: float | None = None
    target_latency_ms: float | None = None
    full_length: bool
    valid: bool
    submittable: bool | None = None
    reasons: list[str] = []
    samples_per_second: float | None = None
    tokens_per_second: float | None = None
    ttft_p99_ms: float | None = None
    tpot_p99_ms: float | None = None
    queries: int | None = None
    over: int | None = None
    allowed_share: float | None = None
    limited_by: str | None = None
    duration_s: float


class TuneRecord(Found, kw_only=True):
    """``state``: searching, confirming or done; ``now``: what goes on; ``user_conf``: the lines for user.conf."""

    schema_version: int = SCHEMA_VERSION
    scenario: str
    state: str = "searching"
    now: str | None = None
    options: dict[str, Any]
    engine_settings: dict[str, Any] | None = None
    trials: list[Trial] = []
    confirmations: list[Confirmation] = []
    user_conf: str | None = None
