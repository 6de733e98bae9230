"""The client's YAML for a point. Everything that decides is written out, nothing is left to a default.

``n_samples_to_issue`` is what ends a run; left out, the client would take ten samples a second for the server's speed.
The performance data set comes first: the builder of submissions takes the kind of a run from the first one.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml

from harness.inventory.model import HUB_ID
from harness.rounds import ENDPOINTS, ROUND, SeedSet
from harness.rundir.endpoints import PlannedPoint
from mlperf_llama_base.files import write_whole

READY_S = 240  # the client's own 30 s are short on a machine that loads a model at the same time
MAX_WORKERS = 8
STREAMS_PER_WORKER = 512
MAX_CONNECTIONS = 28_000  # of one address: the ephemeral ports


class ModelParams(msgspec.Struct, kw_only=True):
    name: str
    tokenizer_name: str
    streaming: str
    seed: int
    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = ROUND.max_new_tokens


class AccuracyConfig(msgspec.Struct, kw_only=True):
    eval_method: str = "rouge"
    ground_truth: str = "highlights"
    extractor: str = "identity_extractor"
    num_repeats: int = 1


class ClientDataset(msgspec.Struct, kw_only=True, omit_defaults=True):
    name: str
    type: str
    accuracy_config: AccuracyConfig | None = None


class Runtime(msgspec.Struct, kw_only=True):
    n_samples_to_issue: int
    scheduler_random_seed: int
    dataloader_random_seed: int
    min_duration_ms: int = 0
    max_duration_ms: int = 0


class LoadPattern(msgspec.Struct, kw_only=True, omit_defaults=True):
    type: str
    target_concurrency: int | None = None
    target_qps: float | None = None


class ClientSettings(msgspec.Struct, kw_only=True):
    num_workers: int
    max_connections: int
    warmup_connections: int
    stream_all_chunks: bool = False
    worker_initialization_timeout: float = READY_S


class Settings(msgspec.Struct, kw_only=True):
    runtime: Runtime
    load_pattern: LoadPattern
    client: ClientSettings
    warmup: dict[str, bool] = msgspec.field(default_factory=lambda: {"enabled": False})
    service_ready_timeout_s: float = READY_S


class EndpointConfig(msgspec.Struct, kw_only=True, omit_defaults=True):
    endpoints: list[str]
    api_type: str
    api_key: str | None = None


class ClientConfig(msgspec.Struct, kw_only=True):
    """A file for ``inference-endpoint benchmark from-config``."""

    name: str
    type: str
    model_params: ModelParams
    datasets: list[ClientDataset]
    settings: Settings
    endpoint_config: EndpointConfig
    report_dir: str

    def write(self, path: Path) -> None:
        text = yaml.safe_dump(msgspec.to_builtins(self), sort_keys=False, width=120)
        write_whole(path, text.encode())


class Target(msgspec.Struct, kw_only=True, frozen=True):
    """Whom the client asks. ``api_key``: the text for the client's YAML, as ``${NAME}``, never the key itself."""

    url: str
    tokenizer: str
    model: str = HUB_ID
    api_key: str | None = None


def point_config(
    point: PlannedPoint, *, samples: int, target: Target, seeds: SeedSet, report_dir: Path, stream_all: bool = False
) -> ClientConfig:
    """The client's configuration for a point that issues ``samples``."""
    name = ENDPOINTS.preset
    datasets = [ClientDataset(name=name, type="performance")]
    if point.accuracy:
        datasets.append(ClientDataset(name=name, type="accuracy", accuracy_config=AccuracyConfig()))
    pattern = LoadPattern(type="max_throughput")
    if not point.dedicated:
        pattern = LoadPattern(type="concurrency", target_concurrency=point.concurrency)
    return ClientConfig(
        name=f"{ENDPOINTS.model_name}-{point.name}",
        type="offline" if point.dedicated else "online",
        model_params=ModelParams(
            name=target.model,
            tokenizer_name=target.tokenizer,
            streaming="off" if point.dedicated else "on",
            seed=seeds.model,
        ),
        datasets=datasets,
        settings=Settings(
            runtime=Runtime(
                n_samples_to_issue=samples,
                scheduler_random_seed=seeds.scheduler,
                dataloader_random_seed=seeds.sample_index,
            ),
            load_pattern=pattern,
            client=client_settings(point.concurrency, stream_all=stream_all),
        ),
        endpoint_config=EndpointConfig(endpoints=[target.url], api_type="openai", api_key=target.api_key),
        report_dir=str(report_dir),
    )


def client_settings(concurrency: int, *, stream_all: bool = False) -> ClientSettings:
    """Enough connections that no request waits inside the client, where its TTFT would grow."""
    workers = min(MAX_WORKERS, max(1, -(-concurrency // STREAMS_PER_WORKER)))
    return ClientSettings(
        num_workers=workers,
        max_connections=connections(concurrency),
        warmup_connections=min(concurrency, 128 * workers),
        stream_all_chunks=stream_all,
    )


def connections(concurrency: int) -> int:
    """Connections for a concurrency: a quarter more than it needs, and some for small ones."""
    return min(MAX_CONNECTIONS, max(64, concurrency + concurrency // 4))
