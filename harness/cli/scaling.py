"""``mlperf-llama scaling`` and ``mlperf-llama benchmark coordinated``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options as o
from harness.rounds import ROUND

if TYPE_CHECKING:
    from rich.console import Console

    from harness.rundir.scaling import ScalingRecord

OutputOption = Annotated[
    Path, typer.Option("--output", help="New directory for the runs, scaling.json, report.html and report.md.")
]
SamplesOption = Annotated[int, typer.Option("--samples", min=1, help="Minimum number of samples for each worker.")]


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
    from harness import terminal
    from harness.run import with_defaults
    from harness.scaling import measure
    from mlperf_llama_base.errors import UserError

    config = with_defaults(setup.config(output=output))
    with _new(output):
        total = measure.total_workers(config)
        wanted = sorted(set(counts)) if counts else measure.default_counts(total)
        if wanted[-1] > total:
            raise UserError(f"--count {wanted[-1]}: there is room for {total} worker(s)")
        console = terminal.console()
        record = measure.measure_scaling(config, wanted, output=output.resolve(), samples=samples, console=console)
        _show(record, output, console)


@o.with_groups
def coordinated(
    output: OutputOption,
    setup: o.Setup,
    scenario: o.ScenarioOption = None,
    target_qps: Annotated[float | None, typer.Option("--target-qps", help="target_qps of each LoadGen.")] = None,
    groups: Annotated[
        int | None, typer.Option("--groups", min=1, help="LoadGens on this machine (default: one per GPU or worker).")
    ] = None,
) -> None:
    """A LoadGen on each node (or GPU), started together and added up, against one worker of each kind alone."""
    from harness import terminal
    from harness.run import with_defaults
    from harness.scaling import coordinated as benchmark
    from harness.scaling.members import cluster_places, local_places

    loadgen = {"target_qps": target_qps} if target_qps is not None else None
    config = with_defaults(setup.config(output=output, scenario=scenario, loadgen=loadgen))
    with _new(output):
        places = local_places(config, groups=groups) if config.cluster.address == "local" else cluster_places(config)
        console = terminal.console()
        _show(benchmark.run_coordinated(config, places, output=output.resolve(), console=console), output, console)


@contextlib.contextmanager
def _new(output: Path) -> Iterator[None]:
    """Hold a directory that has nothing in it. Raises ``UserError``."""
    from harness.rundir.lock import locked
    from harness.rundir.names import LOCK
    from mlperf_llama_base.errors import UserError

    if output.exists() and (not output.is_dir() or {path.name for path in output.iterdir()} - {LOCK}):
        raise UserError(f"output directory {output} is not empty: choose another")
    with contextlib.ExitStack() as stack:
        try:
            output.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(output))
        except OSError as error:
            what = f"output directory {output} cannot be written ({error.strerror}): choose another"
            raise UserError(what) from error
        yield


def _show(record: ScalingRecord, output: Path, console: Console) -> None:
    """Print the figures; raises what the exit code is for a run that broke or does not count."""
    from harness.report import write_report
    from mlperf_llama_base.errors import RunError

    for step in record.steps:
        s, found = step.samples, step.scaling
        efficiency, half = (found.efficiency, found.efficiency_ci95) if found else (None, None)
        console.print(
            f"{len(step.workers):>5} worker(s) {step.tokens_per_second.value:>12,.1f} tokens/s  efficiency "
            f"{'-' if efficiency is None else f'{efficiency:.1%}'}{'' if half is None else f' ± {half:.1%}'}  "
            f"samples {s.issued} issued, {s.completed} completed, {s.lost} lost",
            highlight=False,
        )
        if before := step.headline:
            console.print(before, highlight=False, markup=False)
        for reason in step.invalid_reasons:
            console.print(f"  - {reason}", highlight=False, markup=False)
    page, twin = write_report([output])
    console.print(f"report: {page}, {twin.name}", highlight=False)
    broken = [m.told for step in record.steps for m in step.members if m.status in ("broken", "never started")]
    if broken:
        raise RunError(f"{broken[0]}{f' (and {len(broken) - 1} more)' if broken[1:] else ''}")
    if not all(step.valid for step in [*record.steps, *record.baselines.values()]) or not record.baselines:
        raise typer.Exit(1)
