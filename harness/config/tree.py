"""The keys of the configuration: type, default, bounds, unit, meaning (docs/reference/configuration.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from harness.config.kinds import Benchmark, Mode, Scenario
from harness.rounds import ROUND
from mlperf_llama_base.files import sealed, write_whole
from sut.supervisor import SupervisorOptions

SUPERVISION = SupervisorOptions()  # its defaults are the configuration's

STRATEGIES = ("SPREAD", "STRICT_SPREAD", "PACK", "STRICT_PACK")

# Bounds far beyond any use. Without them a slip of the hand is a hang, or LoadGen's crash.
DAY_S = 24 * 3600.0
HOUR_MS = 3_600_000
MAX_WORKERS = 4096
MAX_TOKENS = 1_000_000
MAX_QPS = 1_000_000.0
MIN_LATENCY_MS = 0.01
MAX_DURATION_MS = 7 * 24 * HOUR_MS
MAX_QUERIES = 100_000_000  # LoadGen keeps a record of each in memory


Policy = Literal["auto", "credit", "prefill-aware", "least-pending", "round-robin"]
Order = Literal["issue", "longest-first", "tail-longest-first"]
Scorer = Literal["fast", "rouge-score", "evaluate"]


class Strict(BaseModel):
    """Unknown keys are errors, assignments are checked."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)


def unit(name: str) -> dict[str, Any]:
    """What a number counts, for docs/reference/configuration.md."""
    return {"unit": name}


class ModelConfig(Strict):
    path: str | None = Field(None, description="Folder or Hugging Face hub id; none: the demo model")
    revision: str | None = Field(None, description="Branch, tag or commit on the hub; none: its main branch")
    tokenizer: str | None = Field(None, description="Folder or hub id of the tokenizer, if it is not the model's")


class DatasetConfig(Strict):
    path: str | None = Field(
        None, description="File: MLCommons' JSON or our own JSON or Parquet; none: the demo articles"
    )
    limit: int | None = Field(
        None,
        ge=1,
        le=MAX_QUERIES,
        description="Use only the first N samples (never submittable); none: all",
        json_schema_extra=unit("samples"),
    )


class EngineConfig(Strict):
    name: str = Field("transformers", description="null, transformers, vllm, openai, or package.module:Class")
    device: str = Field("auto", description="auto, cpu, cuda")
    max_new_tokens: int = Field(
        ROUND.max_new_tokens,
        ge=1,
        le=MAX_TOKENS,
        description="Longest answer; the default is the benchmark's",
        json_schema_extra=unit("tokens"),
    )
    min_new_tokens: int = Field(
        ROUND.min_new_tokens,
        ge=0,
        le=MAX_TOKENS,
        description="Shortest answer: no end of sequence is taken before; the default is the benchmark's",
        json_schema_extra=unit("tokens"),
    )
    args: dict[str, Any] = Field(default_factory=dict, description="The engine's own arguments (docs/engines.md)")

    @field_validator("name", mode="before")
    @classmethod
    def _yaml_null(cls, value: Any) -> Any:
        return "null" if value is None else value  # YAML reads the engine's name as nothing


class WorkersConfig(Strict):
    count: int | None = Field(
        None,
        ge=1,
        le=MAX_WORKERS,
        description="Worker processes, each with an engine; none: one per GPU, or one without a GPU",
        json_schema_extra=unit("workers"),
    )
    tensor_parallel: int = Field(
        1, ge=1, le=64, description="GPUs that one worker spreads the model over", json_schema_extra=unit("GPUs")
    )
    start_timeout_s: float = Field(
        SUPERVISION.start_timeout_s,
        gt=0,
        le=DAY_S,
        description="Deadline for a worker to load the model and warm up",
        json_schema_extra=unit("s"),
    )
    heartbeat_s: float = Field(
        1.0,
        ge=0.01,
        le=60,
        description="Interval at which a worker reports that it is alive; below heartbeat_timeout_s",
        json_schema_extra=unit("s"),
    )
    heartbeat_timeout_s: float = Field(
        SUPERVISION.heartbeat_timeout_s,
        gt=0,
        le=3600,
        description="A worker silent for this long is lost",
        json_schema_extra=unit("s"),
    )
    stall_timeout_s: float = Field(
        SUPERVISION.stall_timeout_s,
        gt=0,
        le=DAY_S,
        description="A worker with work that reports no event for this long is hung",
        json_schema_extra=unit("s"),
    )
    max_restarts: int = Field(
        SUPERVISION.max_restarts,
        ge=0,
        le=1000,
        description="How many times a worker is started again",
        json_schema_extra=unit("restarts"),
    )
    max_attempts: int = Field(
        4, ge=1, le=1000, description="How many times a sample is tried", json_schema_extra=unit("attempts")
    )
    pin_numa: bool = Field(True, description="Bind a worker to the cores and the memory next to its GPU")
    warm_up_prompts: int = Field(
        16,
        ge=0,
        le=100_000,
        description="Random prompts that each worker answers before the clock starts",
        json_schema_extra=unit("prompts"),
    )

    @model_validator(mode="after")
    def _heard_in_time(self) -> Self:
        if self.heartbeat_s >= self.heartbeat_timeout_s:
            raise ValueError(
                f"heartbeat_s {self.heartbeat_s:g} must be below heartbeat_timeout_s {self.heartbeat_timeout_s:g}"
            )
        return self


class DispatchConfig(Strict):
    policy: Policy = Field("auto", description="Which worker gets a sample (docs/tuning.md)")
    order: Order = Field("issue", description="Offline: order of the samples inside a block")
    prefill_weight: float = Field(
        8.0,
        ge=0,
        le=1e6,
        description="Weight of a request without its first token, against one that has it",
        json_schema_extra=unit("decoding requests"),
    )
    backlog: int = Field(
        128,
        ge=1,
        le=MAX_QUERIES,
        description="Samples given to a worker beyond what its engine computes at once",
        json_schema_extra=unit("samples"),
    )
    processes: int = Field(
        1,
        ge=1,
        le=64,
        description="Processes that dispatch, each to its share of the workers; more than one for what is too much for "
        "one thread (docs/scaling.md)",
        json_schema_extra=unit("processes"),
    )


class LoadGenConfig(Strict):
    user_conf: str | None = Field(None, description="File: LoadGen's user.conf")
    target_qps: float | None = Field(
        None,
        gt=0,
        le=MAX_QPS,
        description="Expected rate; wins over user_conf; SingleStream uses target_latency_ms instead",
        json_schema_extra=unit("samples/s"),
    )
    target_latency_ms: float | None = Field(
        None,
        ge=MIN_LATENCY_MS,
        le=HOUR_MS,
        description="SingleStream: expected mean latency of a sample; wins over user_conf",
        json_schema_extra=unit("ms"),
    )
    min_duration_ms: int | None = Field(
        None,
        ge=0,
        le=MAX_DURATION_MS,
        description=f"Smoke runs only: shorter than the rules' {ROUND.min_duration_ms:,} ms",
        json_schema_extra=unit("ms"),
    )
    min_query_count: int | None = Field(
        None,
        ge=1,
        le=MAX_QUERIES,
        description="Smoke runs only: fewer queries than LoadGen asks for (in Offline: samples)",
        json_schema_extra=unit("queries"),
    )
    max_query_count: int | None = Field(
        None,
        ge=1,
        le=MAX_QUERIES,
        description="Smoke runs only: end after this many queries",
        json_schema_extra=unit("queries"),
    )
    max_duration_ms: int | None = Field(
        None, ge=1, le=MAX_DURATION_MS, description="Smoke runs only: end after this time", json_schema_extra=unit("ms")
    )


class ClusterConfig(Strict):
    address: str = Field("local", description="local, auto, or the address of a Ray cluster")
    strategy: str = Field("SPREAD", description=f"Ray's placement: {', '.join(STRATEGIES)}")
    resources: dict[str, Annotated[float, Field(ge=0, le=1e6)]] = Field(
        default_factory=dict,
        description="What Ray reserves for a worker, by name; none: one GPU, or one CPU",
        json_schema_extra=unit("of each resource"),
    )
    bind: str | None = Field(None, description="Address of this machine at which the nodes reach it")
    min_workers: int | None = Field(
        None,
        ge=1,
        le=MAX_WORKERS,
        description="Start once this many are ready; the others join later; none: wait for all",
        json_schema_extra=unit("workers"),
    )
    placement_timeout_s: float = Field(
        SUPERVISION.placement_timeout_s,
        gt=0,
        le=DAY_S,
        description="The run ends if no worker finds a node for this long",
        json_schema_extra=unit("s"),
    )

    @field_validator("strategy")
    @classmethod
    def _strategy(cls, value: str) -> str:
        if value not in STRATEGIES:
            raise ValueError(f"must be one of {', '.join(STRATEGIES)}")
        return value


class MonitorConfig(Strict):
    enabled: bool = Field(True, description="Record GPUs, CPUs, memory and network while the test runs")
    interval_s: float = Field(
        1.0, ge=0.05, le=3600, description="Time between two readings", json_schema_extra=unit("s")
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Serve Prometheus metrics at this port; none: do not",
        json_schema_extra=unit("TCP port"),
    )
    metrics_host: str = Field("127.0.0.1", description="Address at which the metrics are served")


class RunConfig(Strict):
    """Everything that decides a run."""

    scenario: Scenario = Field(Scenario.OFFLINE, description="LoadGen's scenario; Interactive is a stricter Server")
    mode: Mode = Field(Mode.PERFORMANCE, description="Measure speed, or accuracy, or run the compliance test TEST06")
    benchmark: Benchmark = Field(
        Benchmark.DATACENTER,
        description=f"Whose rules: {' or '.join(f'{b.sample_count:,} samples ({b})' for b in Benchmark)}",
    )
    output: str = Field("", description="Directory of the run")
    overwrite: bool = Field(False, description="Replace an earlier run in the directory; never saved")
    skip_preflight: bool = Field(False, description="Do not check machine, model, data and configuration first")
    stall_timeout_s: float = Field(
        600.0, gt=0, le=DAY_S, description="A run without any event for this long is ended", json_schema_extra=unit("s")
    )
    model: ModelConfig = Field(default_factory=ModelConfig)
    dataset: DatasetConfig = Field(default_factory=DatasetConfig)
    engine: EngineConfig = Field(default_factory=EngineConfig)
    workers: WorkersConfig = Field(default_factory=WorkersConfig)
    dispatch: DispatchConfig = Field(default_factory=DispatchConfig)
    loadgen: LoadGenConfig = Field(default_factory=LoadGenConfig)
    cluster: ClusterConfig = Field(default_factory=ClusterConfig)
    monitor: MonitorConfig = Field(default_factory=MonitorConfig)
    scorer: Scorer = Field("fast", description="Who computes ROUGE")

    @property
    def model_name(self) -> str:
        """LoadGen's model name: it selects the limits in mlperf.conf."""
        return self.benchmark.model_name(self.scenario)

    def save(self, path: Path) -> None:
        """Write the complete tree as YAML, except ``overwrite``: given back, the file must not replace anything."""
        tree = self.model_dump(mode="json", exclude={"overwrite"})
        write_whole(path, sealed(yaml.safe_dump(tree, sort_keys=False)).encode())
