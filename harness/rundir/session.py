"""session.json as types: what LoadGen cannot know of a test, written by the process that ran it."""

from __future__ import annotations

from typing import Any

import msgspec

from harness.inventory.calibration import CalibrationRecord

SCHEMA_VERSION = 1


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
    """Tokens per sample, and in total."""

    input_mean: float | None = None
    input_max: int | None = None
    output_mean: float | None = None
    output_min: int | None = None
    output_max: int | None = None
    input_total: int | None = None
    output_total: int | None = None


class Worker(msgspec.Struct, kw_only=True):
    """One worker at the end of the test. ``busy_fraction``: of its heartbeats, how many had work. ``numa_nodes``: those
    whose cores it was bound to; none where the machine has one, or it was not bound."""

    id: int | str
    node: str | None = None
    gpu: str | None = None
    gpus: list[int | str] | None = None
    numa_nodes: list[int] | None = None
    pid: int | None = None
    state: str | None = None
    samples: int | None = None
    tokens: int | None = None
    restarts: int | None = None
    load_s: float | None = None
    warm_up_s: float | None = None
    rss_bytes: int | None = None
    busy_fraction: float | None = None
    fault: str | None = None


class LostWorker(msgspec.Struct, kw_only=True):
    """A worker that was given up, at Unix time ``time_s``; ``samples_returned`` went to the others."""

    worker: int | str
    reason: str
    node: str | None = None
    samples_returned: int | None = None
    time_s: float | None = None


class Engine(msgspec.Struct, kw_only=True):
    """What the engine says of itself (``sut.messages.EngineInfo``)."""

    name: str | None = None
    version: str | None = None
    capacity: int | None = None
    eos_token_ids: list[int] | None = None
    vocab_size: int | None = None
    max_prompt_tokens: int | None = None
    prefix_caching: bool | None = None
    weight_dtype: str | None = None
    kv_cache_dtype: str | None = None
    facts: dict[str, Any] = {}
    not_submittable: list[str] = []


class Dataset(msgspec.Struct, kw_only=True):
    """The data set of the run. ``count``: its samples; ``total_count``, ``performance_count``: of the QSL."""

    path: str | None = None
    sha256: str | None = None
    format: str | None = None
    label: str | None = None
    count: int | None = None
    total_count: int | None = None
    performance_count: int | None = None
    input_tokens_mean: float | None = None
    input_tokens_max: int | None = None
    duplicates: int | None = None
    is_official_count: bool | None = None


class Model(msgspec.Struct, kw_only=True):
    """The model of the run (``harness.inventory.model.ModelInfo``). ``reasons``: why it is not Llama 3.1 8B."""

    path: str | None = None
    folder: str | None = None
    is_llama_3_1_8b: bool | None = None
    reasons: list[str] = []
    architecture: str | None = None
    vocab_size: int | None = None
    eos_token_ids: list[int] | None = None
    max_positions: int | None = None
    has_tokenizer: bool | None = None
    has_weights: bool | None = None
    digest: str | None = None
    revision: str | None = None
    calibration: CalibrationRecord | None = None


class SampleAnswer(msgspec.Struct, kw_only=True):
    """What the model answered to a sample: its first token ids, of ``output_tokens`` in all."""

    qsl_idx: int
    token_ids: list[int]
    output_tokens: int
    worker: int | None = None


class Process(msgspec.Struct, kw_only=True):
    """The LoadGen process itself. ``cpu_s``: processor seconds from its start on, ``test_cpu_s``: of the test alone;
    ``test_cpu_all_s``: with the workers on this machine, where none of them was started anew; ``cores``: those that all
    of them may use. ``dispatch_share``: of the test's time, what the thread that dispatches was at work;
    ``dispatched_late``: samples that it handed out 0.1 s after they were due, or later, although workers had room.
    """

    cpu_s: float
    peak_rss_bytes: int
    test_cpu_s: float | None = None
    test_cpu_all_s: float | None = None
    cores: int | None = None
    dispatch_share: float | None = None
    dispatched_late: int | None = None


class SessionRecord(msgspec.Struct, kw_only=True):
    """``outcome``: completed, failed or interrupted. ``settings``: LoadGen's TestSettings in effect.
    ``answers``: to the first samples that were completed.

    ``smoke_overrides``: of them, what was set past user.conf; ``smoke``: the same in words. ``violations``: completions
    against a property of TEST06 or LoadGen, by kind. ``log_sha256``: SHA-256 of LoadGen's logs, its outputs among
    them, and of user.conf as they were when the test ended, by file name. ``notes``: what could not be written and is
    needed for no verdict. Null where the test did not get so far.
    """

    schema_version: int = SCHEMA_VERSION
    outcome: str | None = None
    error: str | None = None
    scenario: str | None = None
    mode: str | None = None
    benchmark: str | None = None
    model_name: str | None = None
    from_config_rc: int | None = None
    settings: dict[str, Any] = {}
    smoke_overrides: dict[str, int | float] = {}
    smoke: list[str] = []
    dataset: Dataset | None = None
    model: Model | None = None
    test_started: str | None = None
    test_ended: str | None = None
    wall_s: float | None = None
    log_sha256: dict[str, str] | None = None
    process: Process | None = None
    samples: Samples = msgspec.field(default_factory=Samples)
    violations: dict[str, int] = {}
    violation_examples: list[str] = []
    workers: list[Worker] = []
    restarts: int | None = None
    lost_workers: list[LostWorker] = []
    refused_messages: int | None = None
    refused_peers: int | None = None
    engine: Engine | None = None
    engine_live_facts: dict[str, dict[str, Any]] = {}
    tokens: Tokens | None = None
    answers: list[SampleAnswer] = []
    notes: list[str] = []
