"""``mlperf-llama compare A B [C...]``: which settings differ, and which figures differ beyond noise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from harness.report.compare import Comparison

_STYLES = {"better": "green", "worse": "red"}


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Run directory to compare against")],
    b: Annotated[
        list[Path],
        typer.Argument(metavar="B...", help="Run directories to compare; repeats of one setting are a group"),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
    fail_under: Annotated[
        float | None,
        typer.Option(min=0.0, help="Exit with 1 if any figure is under this share of A's (0.98, say) beyond noise."),
    ] = None,
) -> None:
    """Compare runs with the first: settings that differ, and figures with the noise of their difference."""
    from harness import terminal
    from harness.report.groups import of_directories

    found = of_directories([a, *b])
    if as_json:
        typer.echo(json.dumps([one.as_dict() for one in found], indent=1, allow_nan=False))
    else:
        console = terminal.console()
        for one in found:
            _show(one, console)
    if fail_under is None:
        return
    failed = [told for one in found for told in one.under(fail_under)]
    for told in failed:
        typer.echo(told, err=True)
    if failed:
        raise typer.Exit(1)


def _show(found: Comparison, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    from harness.report.flat import value_text
    from harness.text import number

    for label, runs in (("A", found.a_runs or [found.a]), ("B", found.b_runs or [found.b])):
        console.print(Text(f"{label}: {', '.join(str(run.directory) for run in runs)}"))
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
