"""``mlperf-llama preflight``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options as o


@o.with_groups
def preflight(
    setup: o.RunSetup,
    output: Annotated[Path | None, typer.Option("--output", help="Directory that the run will write.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="The run may replace an earlier one.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Load the engine and send it four samples.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the findings and the machine's facts as JSON.")
    ] = False,
) -> None:
    """Check machine, installation, model, data and configuration for a run. Exit code 2 or 3 if it would fail."""
    from harness import terminal
    from harness.preflight import run_preflight
    from harness.rundir.files import as_json_text

    config = setup.config(output=output, overwrite=overwrite or None)
    report = run_preflight(config, smoke=smoke)
    if as_json:
        typer.echo(as_json_text(report.record()))
    else:
        console = terminal.console()
        console.print(report.table())
        console.print(report.summary(), highlight=False)
    report.raise_failure("correct what is listed above")
