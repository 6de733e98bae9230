"""Options that several commands share, and the way from them to a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from harness import config
from harness.config import Benchmark, Mode, RunConfig, Scenario

ProfileOption = Annotated[str | None, typer.Option("--profile", help="Profile: a name or a YAML file.")]
ScenarioOption = Annotated[Scenario | None, typer.Option("--scenario", help="Scenario.", case_sensitive=False)]
ModeOption = Annotated[Mode | None, typer.Option("--mode", help="Mode.", case_sensitive=False)]
BenchmarkOption = Annotated[
    Benchmark | None, typer.Option("--benchmark", help="Rules of datacenter (13,368 samples) or edge (5,000).")
]
EngineOption = Annotated[str | None, typer.Option("--engine", help="null, transformers, vllm, openai.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Model folder or hub id (default: the demo model).")]
DatasetOption = Annotated[str | None, typer.Option("--dataset", help="Data set file (default: the demo articles).")]
WorkersOption = Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes (default: one a GPU).")]
TargetOption = Annotated[float | None, typer.Option("--target-qps", help="LoadGen's target_qps.")]
LatencyOption = Annotated[
    float | None, typer.Option("--target-latency-ms", help="SingleStream: expected mean latency of a sample.")
]
UserConfOption = Annotated[Path | None, typer.Option("--user-conf", help="LoadGen user.conf.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Any configuration key: key.path=value.")]
ClusterOption = Annotated[str | None, typer.Option("--cluster", help="local, auto, or a Ray cluster's address.")]


def make_config(
    *,
    profile: str | None = None,
    scenario: Scenario | None = None,
    mode: Mode | None = None,
    benchmark: Benchmark | None = None,
    engine: str | None = None,
    model: str | None = None,
    dataset: str | None = None,
    workers: int | None = None,
    target_qps: float | None = None,
    target_latency_ms: float | None = None,
    user_conf: Path | None = None,
    cluster: str | None = None,
    output: Path | None = None,
    settings: list[str] | None = None,
    **top: Any,
) -> RunConfig:
    """Merge profile, flags and ``--set`` into one validated tree. Raises ``UserError``."""
    flags: dict[str, Any] = {k: v for k, v in top.items() if v is not None}
    for path, value in {
        "scenario": scenario,
        "mode": mode,
        "benchmark": benchmark,
        "engine.name": engine,
        "model.path": model,
        "dataset.path": dataset,
        "workers.count": workers,
        "loadgen.target_qps": target_qps,
        "loadgen.target_latency_ms": target_latency_ms,
        "loadgen.user_conf": str(user_conf) if user_conf else None,
        "cluster.address": cluster,
        "output": str(output) if output else None,
    }.items():
        if value is not None:
            node: Any = value
            for part in reversed(path.split(".")):
                node = {part: node}
            flags = config.merge(flags, node)
    sets = config.parse_set(settings or [])
    chosen = sets.get("scenario") or flags.get("scenario")
    return config.build(config.load_profile(profile, str(chosen) if chosen else None) if profile else {}, flags, sets)
