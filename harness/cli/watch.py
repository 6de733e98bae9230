"""``mlperf-llama watch DIR``: follow a run that was started elsewhere, without touching it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.rundir.names import STATUS

if TYPE_CHECKING:
    from rich.console import Console

SILENT_S = 120.0


def watch(
    run_dir: Annotated[Path, typer.Argument(metavar="DIR", help="The run's --output directory")],
    wait: Annotated[float, typer.Option(help="Seconds to wait for the run to begin", min=0)] = 60.0,
) -> None:
    """Show a running test live, as the run itself does, until its verdict. Ctrl-C leaves the run alone."""
    from harness import progress, terminal
    from mlperf_llama_base.errors import UserError

    end = time.monotonic() + wait
    while progress.read_status(run_dir) is None:
        if time.monotonic() >= end:
            raise UserError(f"{run_dir} has no {STATUS}: no run writes there; give the --output of a run")
        time.sleep(progress.POLL_S)
    console = terminal.console()
    try:
        progress.show(run_dir, is_alive=lambda: gone(run_dir) is None, console=console)
        show_verdict(run_dir, console)
    except KeyboardInterrupt:
        console.print("\nNo longer watching; the run continues.")
        return
    why = gone(run_dir)
    if why is not None:
        console.print(f"The run does not go on: {why}.", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1)
    if (progress.read_status(run_dir) or {}).get("phase") == "failed":
        raise typer.Exit(1)


def show_verdict(run_dir: Path, console: Console) -> None:
    """What the run prints at its end, once it has judged (and scored) what it measured."""
    from harness import progress
    from harness.rundir.lock import holder
    from harness.rundir.names import RESULT
    from harness.rundir.result import read_result
    from harness.verdict.printed import print_result

    if (progress.read_status(run_dir) or {}).get("phase") != "finished":
        return
    while holder(run_dir) is not None:
        time.sleep(progress.POLL_S)
    if (run_dir / RESULT).is_file():
        print_result(read_result(run_dir), run_dir, console)


def gone(run_dir: Path) -> str | None:
    """Why a run that has not ended does not go on, None as long as it does, or where it has ended.

    The lock says it at once, and of a run without one its process, where it ran here; from another machine only its
    silence does.
    """
    import psutil

    from harness.progress import ENDED
    from harness.rundir.lock import holder, last_holder
    from harness.rundir.status import read_status
    from mlperf_llama_base.node import node_name

    status = read_status(run_dir)
    if status is None:
        return f"its {STATUS} cannot be read"
    if status.phase in ENDED or holder(run_dir) is not None:
        return None
    here, left = node_name(), last_holder(run_dir)
    if left is not None and left.node == here:
        return f"process {left.pid} ({left.command}) was killed"
    if status.node == here and status.pid and not psutil.pid_exists(status.pid):
        return f"process {status.pid} was killed"
    if status.time is None or abs(time.time() - status.time) > SILENT_S:
        return f"it has not written its state for {SILENT_S:g} s: it was killed, or its machine is gone"
    return None
