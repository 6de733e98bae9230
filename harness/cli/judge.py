"""``mlperf-llama judge RUN_DIR``: the verdict on a finished run again, from nothing but its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def judge(run_dir: Annotated[Path, typer.Argument(help="Directory of a finished run")]) -> None:
    """Judge a finished run again from the files that it left, and write its result.json anew.

    For a run whose command ended before the verdict (killed, a full disk), and after an update of the rules.
    """
    from rich.console import Console

    from harness.run import writing
    from harness.rundir.lock import refuse_while_written
    from harness.verdict.printed import print_result
    from harness.verdict.result import write_result

    refuse_while_written(run_dir)
    with writing(run_dir):
        result = write_result(run_dir)
    print_result(result, run_dir, Console())
    if not result.valid:
        raise typer.Exit(1)
