"""``mlperf-llama compare A B``: which settings differ, and which figures differ beyond noise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_STYLES = {"better": "green", "worse": "red"}


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Run directory to compare against")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Run directory to compare")],
) -> None:
    """Compare two runs: settings that differ, and figures with the noise of their difference."""
    from rich.table import Table
    from rich.text import Text

    from harness import terminal
    from harness.report.compare import compare as compare_dirs
    from harness.report.flat import value_text
    from harness.text import number

    found, console = compare_dirs(a, b), terminal.console()
    if found.settings:
        table = Table("setting", "A", "B", title="Settings that differ", title_justify="left")
        for key, ours, theirs in found.settings:
            table.add_row(*(Text(text) for text in (key, value_text(ours), value_text(theirs))))
        console.print(table)
    else:
        console.print("No setting differs.")
    if found.figures:
        table = Table(title="Figures (change of B against A, with its 95 % interval)", title_justify="left")
        for name in ("figure", "A", "B", "change", "interval", "verdict"):
            table.add_column(name, justify="left" if name in ("figure", "verdict") else "right")
        for figure in found.figures:
            table.add_row(
                f"{figure.name}, {figure.unit}",
                number(figure.a),
                number(figure.b),
                f"{100 * figure.change:+.2f} %",
                figure.interval,
                Text(figure.verdict, style=_STYLES.get(figure.verdict, "")),
            )
        console.print(table)
    for note in found.notes:
        console.print(Text(note))
