"""point.yaml as types: what a point was, in MLCommons' words. Written here, and read from any tree.

mlcommons/endpoints_policies endpoints_rules.md, 8.3. The client's YAML spells the seeds otherwise.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml

from harness.endpoints.description import ModelInfo
from harness.rounds import ENDPOINTS, SeedSet
from harness.rundir.endpoints import PlannedPoint
from mlperf_llama_base.files import write_whole

NO_WARMUP = "none; warmup disabled"
SHARED_SRC, SHARED_DOCS = "src/mlperf-llama", "docs"
DATASET_NAME = "CNN/DailyMail 3.0.0 validation"


class Seeds(msgspec.Struct, kw_only=True, omit_defaults=True):
    scheduler_rng_seed: int | None = None
    sample_index_rng_seed: int | None = None
    model_seed: int | None = None

    @classmethod
    def of(cls, seeds: SeedSet) -> Seeds:
        return cls(scheduler_rng_seed=seeds.scheduler, sample_index_rng_seed=seeds.sample_index, model_seed=seeds.model)


class Salt(msgspec.Struct, kw_only=True):
    salt: bool = False


class RuntimeSettings(msgspec.Struct, kw_only=True):
    load_pattern: str | None = None
    min_duration_ms: int | None = None
    min_sample_count: int | None = None
    stream_all_chunks: bool | None = None
    runtime: Seeds = msgspec.field(default_factory=Seeds)
    warmup: Salt = msgspec.field(default_factory=Salt)


class Warmup(msgspec.Struct, kw_only=True):
    duration_s: float | None = None
    requests_issued: int | None = None
    requests_completed: int | None = None
    data_source: str | None = None
    concurrency: int | None = None
    initialization_steps: list[str] = []
    logs_retained: bool | None = None


# the server has its own
NONE_OF_THE_CLIENT = Warmup(
    duration_s=0,
    requests_issued=0,
    requests_completed=0,
    data_source=NO_WARMUP,
    concurrency=0,
    logs_retained=True,
)


class Window(msgspec.Struct, kw_only=True):
    """Super-passes (whole passes over the data set) from the first to the last, both in it."""

    super_pass_start: int | None = None
    super_pass_end: int | None = None
    super_pass_size: int | None = None
    n_samples: int | None = None
    duration_s: float | None = None

    @property
    def passes(self) -> int | None:
        if self.super_pass_start is None or self.super_pass_end is None:
            return None
        return self.super_pass_end - self.super_pass_start + 1


class SteadyState(msgspec.Struct, kw_only=True):
    status: str | None = None
    verdict: str | None = None
    window: Window = msgspec.field(default_factory=Window)
    state: dict[str, str] = {}


class NodesUsed(msgspec.Struct, kw_only=True):
    system_node_ensemble_id: int
    nodes: int


class PointConfig(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The file. What MLCommons may add is passed over."""

    concurrency: int
    region: str | None = None
    dataset: str | None = None
    runtime_settings: RuntimeSettings = msgspec.field(default_factory=RuntimeSettings)
    warmup: Warmup | None = None
    offline: str | None = None
    steady_state: SteadyState | None = None
    division: str | None = None
    max_supported_concurrency: int | None = None
    model_name: str | None = None
    model_precision: str | None = None
    link_to_model: str | None = None
    link_to_model_transformation: str | None = None
    model_notes: str | None = None
    dataset_name: str | None = None
    dataset_type: str | None = None
    dataset_link: str | None = None
    shared_src: str | None = None
    shared_docs: str | None = None
    seed_set: str | None = None
    target_cohort: str | None = None
    nodes_used: list[NodesUsed] | None = None
    dp_shortfall: dict[str, int | str | None] | None = None
    speculative_decoding: dict[str, str | int | float | None] | None = None

    @property
    def dedicated(self) -> bool:
        return self.offline == "dedicated"

    def write(self, path: Path) -> None:
        write_whole(path, yaml.safe_dump(msgspec.to_builtins(self), sort_keys=False, width=110).encode())


def point_config(
    point: PlannedPoint,
    *,
    c_max: int,
    division: str,
    model: ModelInfo,
    seeds: SeedSet,
    cohort: str,
    stream_all: bool,
    notes: str | None = None,
) -> PointConfig:
    """What a point that was planned and run here is declared as."""
    return PointConfig(
        concurrency=point.concurrency,
        region=point.region,
        dataset=ENDPOINTS.dataset,
        runtime_settings=RuntimeSettings(
            load_pattern="max_throughput" if point.dedicated else "concurrency",
            min_duration_ms=ENDPOINTS.duration_ms(point.concurrency),
            min_sample_count=ENDPOINTS.samples,
            stream_all_chunks=stream_all,
            runtime=Seeds.of(seeds),
        ),
        warmup=NONE_OF_THE_CLIENT,
        offline=None if point.offline == "none" else point.offline,
        division=division,
        max_supported_concurrency=c_max,
        model_name=ENDPOINTS.model_name,
        model_precision=model.precision,
        link_to_model=model.link,
        link_to_model_transformation=model.transformation,
        model_notes=notes or model.notes,
        dataset_name=DATASET_NAME,
        dataset_type="Performance",
        dataset_link=model.dataset_link,
        shared_src=SHARED_SRC,
        shared_docs=SHARED_DOCS,
        seed_set=seeds.name,
        target_cohort=cohort,
    )
