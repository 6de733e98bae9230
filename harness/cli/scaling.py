"""``mlperf-llama scaling`` and ``mlperf-llama benchmark coordinated``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from harness.cli import options as o
from harness.rounds import ROUND

OutputOption = Annotated[Path, typer.Option("--output", help="New directory for the runs, scaling.json and report.md.")]
SamplesOption = Annotated[int, typer.Option("--samples", min=1, help="Least number of samples for each worker.")]


@o.with_groups
def scaling(
    output: OutputOption,
    setup: o.Setup,
    counts: Annotated[
        list[int] | None, typer.Option("--count", min=1, help="Numbers of workers (default: 1, 2, 4 ... all).")
    ] = None,
    samples: SamplesOption = ROUND.benchmarks["datacenter"].samples,
) -> None:
    """Offline with 1, 2, 4 ... all workers, against one of each kind alone: speed-up, efficiency, their uncertainty."""
    from rich.console import Console

    from harness.run import with_defaults
    from harness.scaling import measure
    from mlperf_llama_base.errors import UserError

    config = with_defaults(setup.config(output=output))
    _new(output)
    total = measure.total_workers(config)
    wanted = sorted(set(counts)) if counts else measure.default_counts(total)
    if wanted[-1] > total:
        raise UserError(f"--count {wanted[-1]}: there is room for {total} worker(s)")
    console = Console()
    tree = measure.measure_scaling(config, wanted, output=output.resolve(), samples=samples, console=console)
    _show(tree, output, console)


@o.with_groups
def coordinated(
    output: OutputOption,
    setup: o.Setup,
    scenario: o.ScenarioOption = None,
    target_qps: Annotated[float | None, typer.Option("--target-qps", help="target_qps of each LoadGen.")] = None,
    groups: Annotated[
        int | None, typer.Option("--groups", min=1, help="LoadGens on this machine (default: one a GPU or worker).")
    ] = None,
) -> None:
    """A LoadGen on each node (or GPU), started together and added up, against one worker of each kind alone."""
    from rich.console import Console

    from harness.run import with_defaults
    from harness.scaling import coordinated as benchmark
    from harness.scaling.members import cluster_places, local_places

    loadgen = {"target_qps": target_qps} if target_qps is not None else None
    config = with_defaults(setup.config(output=output, scenario=scenario, loadgen=loadgen))
    _new(output)
    places = local_places(config, groups=groups) if config.cluster.address == "local" else cluster_places(config)
    console = Console()
    _show(benchmark.run(config, places, output=output.resolve(), console=console), output, console)


def _new(output: Path) -> None:
    from mlperf_llama_base.errors import UserError

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"output directory {output} is not empty: choose another")


def _show(tree: dict[str, Any], output: Path, console: Any) -> None:
    from harness.scaling.report import REPORT

    for step in tree["steps"]:
        s, scaling = step["samples"], step["scaling"]
        efficiency = "-" if scaling["efficiency"] is None else f"{scaling['efficiency']:.1%}"
        half = scaling["efficiency_ci95"]
        console.print(
            f"{scaling['workers']:>5} worker(s) {step['tokens_per_second']['value']:>12,.1f} tokens/s  efficiency "
            f"{efficiency}{f' ± {half:.1%}' if half is not None else ''}  samples {s['issued']}, {s['completed']}, "
            f"{s['lost']}",
            highlight=False,
        )
    console.print(f"report: {output / REPORT}", highlight=False)
    if any(step["samples"]["lost"] for step in tree["steps"]):
        raise typer.Exit(1)
