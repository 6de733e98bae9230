"""``mlperf-llama preflight``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o


def preflight(
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
    output: Annotated[Path | None, typer.Option("--output", help="Directory that the run will write.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="The run may replace an earlier one.")] = False,
    settings: o.SetOption = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="Load the engine and send it four samples.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the report there as JSON.")] = None,
) -> None:
    """Check machine, installation, model, data and configuration for a run. Exit code 3 if it would fail."""
    from rich.console import Console

    from harness.preflight import Status, run_preflight
    from mlperf_llama_base.errors import EnvironmentFault, UserError

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
    )
    report = run_preflight(config, smoke=smoke)
    console = Console()
    console.print(report.table())
    console.print(report.summary(), highlight=False)
    if json_file:
        try:
            report.save(json_file)
        except OSError as error:
            raise UserError(f"cannot write {json_file}: {error.strerror}; choose another --json") from error
    failed = [f for f in report.findings if f.status is Status.FAIL]
    if failed:
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise EnvironmentFault(
            f"pre-flight failed: {failed[0].check}: {failed[0].found}{more}; correct what is listed above"
        )
