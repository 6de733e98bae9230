"""result.json as types: the contract that other tools, reports and people rely on.

``mlperf_llama``'s readers use :class:`Result`; ``json_schema()`` is the same as JSON Schema for everybody else. A
field that does not apply to a run is null. All figures of speed and latency are LoadGen's own; nothing is computed
from other clocks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from mlperf_llama_base.errors import UserError

SCHEMA_VERSION = 1


class Latency(msgspec.Struct, kw_only=True):
    """Milliseconds, LoadGen's percentiles (no interpolation)."""

    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p97: float | None = None
    p99: float | None = None
    p99_9: float | None = None
    mean: float | None = None
    min: float | None = None
    max: float | None = None


class Samples(msgspec.Struct, kw_only=True):
    """Counts of samples. ``failed``: attempts that gave no usable output; ``retried``: attempts given away again;
    ``duplicates``: second answers, dropped.
    """

    issued: int | None = None
    completed: int | None = None
    lost: int | None = None
    retried: int | None = None
    duplicates: int | None = None
    failed: int | None = None


class Tokens(msgspec.Struct, kw_only=True):
    """Tokens a sample, and in all."""

    input_mean: float | None = None
    output_mean: float | None = None
    output_min: int | None = None
    output_max: int | None = None
    input_total: int | None = None
    output_total: int | None = None


class Target(msgspec.Struct, kw_only=True):
    """Bounds of the closed division on one score."""

    reference: float
    minimum: float
    maximum: float | None = None


class AccuracyResult(msgspec.Struct, kw_only=True):
    """ROUGE x 100 and ``gen_len`` in characters. ``meets_targets`` is null where the targets do not apply
    (``partial`` says why).
    """

    rouge1: float
    rouge2: float
    rougeL: float
    rougeLsum: float
    gen_len: int
    gen_num: int
    partial: str | None = None
    meets_targets: bool | None = None
    targets: dict[str, Target] = {}
    scorer: str | None = None
    tokenizer: str | None = None
    tokens_mean: float | None = None


class Compliance(msgspec.Struct, kw_only=True):
    """TEST06 of a compliance run. ``passed``: LoadGen took its settings and its three properties hold. Null parts
    were not checked.
    """

    test: str
    passed: bool
    first_token: bool | None
    eos: bool
    sample_length: bool
    samples: int | None = None
    reasons: list[str] = []


class Rules(msgspec.Struct, kw_only=True):
    """The settings by which the rules judge a run, as they were in effect."""

    prefix_caching: bool | None = None
    min_duration_ms: int | None = None
    duration_s: float | None = None
    equal_issue: bool | None = None
    use_token_latencies: bool | None = None
    ttft_limit_ms: float | None = None
    tpot_limit_ms: float | None = None
    max_new_tokens: int | None = None
    min_new_tokens: int | None = None
    performance_sample_count: int | None = None
    first_token_mismatch: int | None = None
    extra_eos: int | None = None


class EnergyResult(msgspec.Struct, kw_only=True):
    """Joules of the GPUs over ``seconds`` of the test, as they report them themselves: no MLPerf Power result."""

    per_gpu: dict[str, float]
    seconds: float
    total_j: float
    mean_w: float
    output_tokens_per_joule: float | None = None
    joules_per_sample: float | None = None


class LoadGen(msgspec.Struct, kw_only=True):
    """LoadGen's own record. ``figures``: every result_*, early_stopping_* and generated_* value of its detail log,
    unchanged.
    """

    validity: str | None
    errors: int
    warnings: list[str]
    figures: dict[str, Any] = {}
    sha256: dict[str, str] = {}


class Result(msgspec.Struct, kw_only=True):
    """One run. ``samples_per_second`` and ``tokens_per_second``: Offline's rates, or Server's completed rates."""

    schema_version: int = SCHEMA_VERSION
    scenario: str
    mode: str
    benchmark: str
    model_name: str | None
    valid: bool
    submittable: bool
    invalid_reasons: list[str]
    not_submittable_reasons: list[str]
    samples_per_second: float | None = None
    tokens_per_second: float | None = None
    target_qps: float | None = None
    ttft_ms: Latency | None = None
    tpot_ms: Latency | None = None
    latency_ms: Latency | None = None
    samples: Samples
    tokens: Tokens
    workers: list[dict[str, Any]] = []
    restarts: int | None = None
    lost_workers: list[dict[str, Any]] = []
    accuracy: AccuracyResult | None = None
    compliance: Compliance | None = None
    versions: dict[str, Any] = {}
    rules: Rules
    loadgen: LoadGen
    engine: dict[str, Any] | None = None
    engine_live_facts: dict[str, Any] = {}
    model: dict[str, Any] | None = None
    dataset: dict[str, Any] | None = None
    hardware: dict[str, Any] | None = None
    metrics: dict[str, dict[str, float]] | None = None
    energy: EnergyResult | None = None
    test_started: str | None = None
    test_ended: str | None = None
    wall_s: float | None = None


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of result.json."""
    return msgspec.json.schema(Result)


def read_result(path: Path) -> Result:
    """Read a result.json (or the one in a run directory). Raises ``UserError`` if it is missing or is none."""
    file = path / "result.json" if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{file} does not exist: the run did not end; see its log, or run it again")
    try:
        return msgspec.json.decode(file.read_bytes(), type=Result)
    except msgspec.DecodeError as error:
        raise UserError(f"{file} is no result of this tool: {error}") from error
