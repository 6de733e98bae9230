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


class Correction(msgspec.Struct, kw_only=True, frozen=True):
    """What the model's steps must be multiplied with (``pace``, standard error ``error``) to give the latencies of real
    queries, by playing their own arrivals: those of a probe or a confirmation (``source``) at ``rate``.
    ``paces``: by worker; ``ttft_ms``: what a first token took longer than its step; ``queries``: compared."""

    source: str
    rate: float
    pace: float
    error: float
    paces: dict[str, float] = {}
    ttft_ms: float = 0.0
    queries: int = 0


class CurvePoint(msgspec.Struct, kw_only=True, frozen=True):
    """Runs of full length at ``rate``, played with many arrival seeds: how many are valid (``hold``, 0 to 1), the
    median of their 99th percentiles with the 10th and 90th of a hundred seeds, and mean shares over a limit."""

    rate: float
    hold: float
    ttft_p99_ms: tuple[float, float, float]
    tpot_p99_ms: tuple[float, float, float]
    ttft_over: float
    tpot_over: float


class Model(msgspec.Struct, kw_only=True):
    """The engine as the tuner plays it: a step takes ``a_ms + c_us * decoding + p_us * prompt tokens``, times ``pace``.

    ``bend_ms``: :class:`sut.steps.StepTimes`; ``held_ms``, ``late_after_ms``, ``graphs``, ``launch_ms`` and
    ``prefill_schedule_interval``: :class:`harness.tune.playback.Player`.
    ``outputs``: tokens of answers, at equal steps of their distribution. ``knee_qps``: half of the ``seeds`` hold up to
    there; ``hold_qps``: nine of ten; ``knee_error``: relative standard error from the pace, ``spread`` from the seeds.
    ``step_sums``: the regression's, of the full engine and of the probes."""

    a_ms: float
    c_us: float
    p_us: float
    a_error: float
    c_error: float
    p_error: float
    steps: int
    workers: int
    max_num_seqs: int
    max_num_batched_tokens: int
    held_ms: float | None = None
    late_after_ms: float | None = None
    graphs: tuple[int, ...] = ()
    launch_ms: float = 0.0
    bend_ms: float = 0.0
    prefill_schedule_interval: int = 1
    policy: str = "auto"
    prefill_weight: float = 8.0
    outputs: list[int]
    pace: float = 1.0
    pace_error: float = 0.0
    paces: dict[str, float] = {}
    ttft_ms: float = 0.0
    corrections: list[Correction] = []
    knee_qps: float | None = None
    hold_qps: float | None = None
    knee_error: float | None = None
    spread: float | None = None
    elasticity: float | None = None
    limited_by: str | None = None
    seeds: int = 0
    played_hours: float = 0.0
    curve: list[CurvePoint] = []


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
    model: Model | None = None


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
    those over the limit that most were over, ``limited_by``; ``allowed_share``: of a run of its whole length, of
    ``expected`` queries."""

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
    expected: int | None = None
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
