"""``mlperf-llama quickstart``: everything at work on the demo, in minutes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

NEXT = """
Everything is in {folder}:
  */result.json                  figures, validity and why a run is not submittable
  */mlperf_log_summary.txt       LoadGen's own words
  offline-accuracy/accuracy.txt  ROUGE scores
Next: {command} report {folder}/server-performance, {command} --help, README.md"""


def quickstart(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Where the three runs go; earlier ones there are replaced.")] = Path(
        "runs/quickstart"
    ),
) -> None:
    """Three short runs of a real small Llama: Offline speed, Offline accuracy, Server. No GPU, no account.

    Further options are those of 'run', and each of the three runs gets them.
    """
    from harness import terminal
    from harness.cli.summarize import summarize
    from harness.quickstart import show_all

    console = terminal.console()
    runs = show_all(folder, options=context.args, console=console)
    try:
        summarize(runs)
    except typer.Exit as ended:  # a run that is not valid has been named
        if ended.exit_code > 1:
            raise
    typer.echo(NEXT.format(folder=folder, command=_typed()))


def _typed() -> str:
    """The command as this user has to type it: an environment that a script made is on nobody's path."""
    own = Path(sys.executable).with_name("mlperf-llama")
    if shutil.which(own.name) or not own.is_file():
        return own.name
    return str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)
