"""result.json as types: the contract that other tools, reports and people rely on.

Our own readers use :class:`Result`; docs/reference/schemas/result.schema.json says the same to everybody else. A field
that does not apply to a run is null. All figures of speed and latency are LoadGen's own; nothing is computed from other
clocks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from harness.inventory.machine import Hardware
from harness.rundir import names
from harness.rundir.files import read_record
from harness.rundir.scores import RougeScores
from harness.rundir.session import Dataset, Engine, LostWorker, Model, Samples, Tokens, Worker
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


class Target(msgspec.Struct, kw_only=True):
    """Bounds of the closed division on one score."""

    reference: float
    minimum: float
    maximum: float | None = None


class AccuracyResult(RougeScores, kw_only=True):
    """The scores of the run. ``meets_targets`` is null where the targets do not apply (``partial`` says why)."""

    meets_targets: bool | None = None
    targets: dict[str, Target] = msgspec.field(default_factory=dict)
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
    """The settings by which the rules judge a run, as they were in effect. ``last_layer``: ``needed`` where the engine
    left out what no logits come from (dead code elimination)."""

    prefix_caching: bool | None = None
    last_layer: str | None = None
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


class Reading(msgspec.Struct, kw_only=True):
    """Of one of the monitor's series over the whole run."""

    mean: float
    max: float


class LoadGen(msgspec.Struct, kw_only=True):
    """LoadGen's own record. ``figures``: every result_*, early_stopping_* and generated_* value of its detail log,
    unchanged.
    """

    validity: str | None = None
    errors: int = 0
    warnings: list[str] = []
    figures: dict[str, Any] = {}
    sha256: dict[str, str] = {}


State = Literal["valid", "too short for a verdict", "not valid"]
TOO_SHORT: Literal["too short for a verdict"] = "too short for a verdict"


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run does not count, or cannot be submitted: the rule's id, a sentence, and the rule's public source.

    ``breaks``: ``validity`` or ``submission``; the sentences alone stand in ``invalid_reasons`` and
    ``not_submittable_reasons``. ``nothing``: no rule is broken, but it looks wrong (``remarks``).
    """

    rule: str
    text: str
    source: str
    breaks: Literal["validity", "submission", "nothing"]


class Result(msgspec.Struct, kw_only=True):
    """One run. ``samples_per_second`` and ``tokens_per_second``: Offline's rates, or Server's completed rates.

    ``too_short``: not valid, and for its length alone: LoadGen's early stopping had too few queries to tell, or the
    test ended before its minimum, and what was measured keeps the limits.
    ``remarks``: what looks wrong and needs an explanation.
    ``notes``: files that could not be read and are needed for no verdict.
    """

    schema_version: int = SCHEMA_VERSION
    scenario: str
    mode: str
    benchmark: str
    model_name: str | None = None
    valid: bool
    too_short: bool = False
    submittable: bool
    invalid_reasons: list[str] = []
    not_submittable_reasons: list[str] = []
    reasons: list[Reason] = []
    remarks: list[Reason] = []
    samples_per_second: float | None = None
    tokens_per_second: float | None = None
    target_qps: float | None = None
    ttft_ms: Latency | None = None
    tpot_ms: Latency | None = None
    latency_ms: Latency | None = None
    samples: Samples = msgspec.field(default_factory=Samples)
    tokens: Tokens = msgspec.field(default_factory=Tokens)
    workers: list[Worker] = []
    restarts: int | None = None
    lost_workers: list[LostWorker] = []
    accuracy: AccuracyResult | None = None
    compliance: Compliance | None = None
    versions: dict[str, str | None] = {}
    rules: Rules = msgspec.field(default_factory=Rules)
    loadgen: LoadGen = msgspec.field(default_factory=LoadGen)
    engine: Engine | None = None
    engine_live_facts: dict[str, dict[str, Any]] = {}
    model: Model | None = None
    dataset: Dataset | None = None
    hardware: Hardware | None = None
    metrics: dict[str, Reading] | None = None
    energy: EnergyResult | None = None
    notes: list[str] = []
    test_started: str | None = None
    test_ended: str | None = None
    wall_s: float | None = None

    @property
    def state(self) -> State:
        """The verdict in words, the same everywhere."""
        return state_of(self.valid, too_short=self.too_short)


def state_of(valid: bool, *, too_short: bool) -> State:
    """The verdict in words."""
    return "valid" if valid else TOO_SHORT if too_short else "not valid"


def read_result(path: Path) -> Result:
    """Read a result.json (or the one in a run directory). Raises ``UserError`` if it is missing or is none."""
    file = path / names.RESULT if path.is_dir() else path
    found = read_record(file, Result)
    if found is None:
        raise UserError(f"{file} does not exist: the run did not end; see its log, or run it again")
    return found
