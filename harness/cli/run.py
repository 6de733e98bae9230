"""``mlperf-llama run``."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o
from harness.config import Mode, Scenario


@o.with_groups
def run(
    setup: o.RunSetup,
    output: Annotated[
        Path | None, typer.Option("--output", help="Directory of the run (default: a new one in runs/).")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier run in the directory.")] = False,
    skip_preflight: Annotated[bool, typer.Option("--skip-preflight", help="Skip the pre-flight checks.")] = False,
    metrics_port: Annotated[int | None, typer.Option("--metrics-port", help="Port for Prometheus metrics.")] = None,
) -> None:
    """Run one scenario in one mode. Without a profile, model, data set and engine: the demo, on any machine."""
    from harness.run import execute

    if not any((setup.profile, setup.model, setup.dataset, setup.engine)):
        setup = replace(setup, profile="cpu-demo")
    if output is None:
        name = f"{setup.scenario or Scenario.OFFLINE}-{setup.mode or Mode.PERFORMANCE}"
        output = Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    config = setup.config(
        output=output,
        overwrite=overwrite or None,
        skip_preflight=skip_preflight or None,
        monitor={"metrics_port": metrics_port} if metrics_port else None,
    )
    raise typer.Exit(execute(config))
