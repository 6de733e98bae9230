"""``mlperf-llama run``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o
from harness.config import Mode, Scenario


def run(
    output: Annotated[
        Path | None, typer.Option("--output", help="Directory of the run (default: a new one in runs/).")
    ] = None,
    scenario: o.ScenarioOption = None,
    mode: o.ModeOption = None,
    profile: o.ProfileOption = None,
    benchmark: o.BenchmarkOption = None,
    engine: o.EngineOption = None,
    model: o.ModelOption = None,
    dataset: o.DatasetOption = None,
    workers: o.WorkersOption = None,
    target_qps: o.TargetOption = None,
    target_latency_ms: o.LatencyOption = None,
    user_conf: o.UserConfOption = None,
    cluster: o.ClusterOption = None,
    settings: o.SetOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in the directory.")] = False,
    skip_preflight: Annotated[bool, typer.Option("--skip-preflight", help="Do not check before the run.")] = False,
    metrics_port: Annotated[int | None, typer.Option("--metrics-port", help="Serve Prometheus metrics.")] = None,
) -> None:
    """Run one scenario in one mode. Without a profile, model, data set and engine: the demo, on any machine."""
    from harness.run import execute

    if not any((profile, model, dataset, engine)):
        profile = "cpu-demo"
    if output is None:
        name = f"{(scenario or Scenario.OFFLINE).value}-{(mode or Mode.PERFORMANCE).value}"
        output = Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    config = o.make_config(
        profile=profile,
        scenario=scenario,
        mode=mode,
        benchmark=benchmark,
        engine=engine,
        model=model,
        dataset=dataset,
        workers=workers,
        target_qps=target_qps,
        target_latency_ms=target_latency_ms,
        user_conf=user_conf,
        cluster=cluster,
        output=output,
        settings=settings,
        overwrite=overwrite or None,
        skip_preflight=skip_preflight or None,
        monitor={"metrics_port": metrics_port} if metrics_port else None,
    )
    raise typer.Exit(execute(config))
