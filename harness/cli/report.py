"""``mlperf-llama report DIR...``: one self-contained HTML file and its Markdown twin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run_dirs: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Run directories, or folders of them; several are compared")
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="The HTML file (default: report.html in the first DIR, or here for another harness's logs)."),
    ] = None,
) -> None:
    """Write a report of one run, or of several beside each other, as HTML and Markdown."""
    from harness.report import write_report
    from mlperf_llama_base.errors import UserError

    if output is not None and output.suffix not in (".html", ".htm"):
        raise UserError(f"--output {output} must end in .html; the Markdown twin is written beside it")
    page, twin = write_report(run_dirs, output)
    typer.echo(f"{page}\n{twin}")
