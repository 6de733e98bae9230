"""``mlperf-llama watch DIR``: follow a run that was started elsewhere, without touching it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

SILENT_S = 120.0


def watch(
    run_dir: Annotated[Path, typer.Argument(metavar="DIR", help="The run's --output directory")],
    wait: Annotated[float, typer.Option(help="Seconds to wait for the run to begin", min=0)] = 60.0,
) -> None:
    """Show a running test live, until it ends. Ctrl-C leaves the run alone."""
    from rich.console import Console

    from harness import progress
    from harness.rundir import names
    from mlperf_llama_base.errors import UserError

    end = time.monotonic() + wait
    while progress.read_status(run_dir) is None:
        if time.monotonic() >= end:
            raise UserError(f"{run_dir} has no {names.STATUS}: no run writes there; give the --output of a run")
        time.sleep(progress.POLL_S)
    console = Console()
    try:
        progress.show(run_dir, is_alive=lambda: not silent(progress.read_status(run_dir)), console=console)
    except KeyboardInterrupt:
        console.print("\nNot watching any more; the run goes on.")
        return
    status = progress.read_status(run_dir)
    if silent(status):
        console.print(f"The run has not written its state for {SILENT_S:g} s: it was killed, or its machine is gone.")
        raise typer.Exit(1)
    if (status or {}).get("phase") == "failed":
        raise typer.Exit(1)


def silent(status: dict[str, object] | None) -> bool:
    """Whether a run that should still be writing its state has stopped doing so."""
    from harness.progress import ENDED

    if status is None:
        return True
    written = status.get("time")
    return status.get("phase") not in ENDED and isinstance(written, int | float) and time.time() - written > SILENT_S
