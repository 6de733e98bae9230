"""``mlperf-llama summarize RUN_DIR...``: one table of scenario results, read from LoadGen's logs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.rundir.figures import FIGURES

if TYPE_CHECKING:
    from rich.console import Console

    from harness.rundir.record import Evidence


def summarize(
    run_dirs: Annotated[
        list[Path], typer.Argument(help="Run directories, or folders that hold some at any depth; LoadGen's logs do")
    ],
) -> None:
    """Print a row for each run, with the reasons why it is not valid, and the first why it cannot be submitted.

    Another harness's LoadGen logs are judged by the same rules; what only our own runs record is not recorded there.
    """
    from harness import terminal
    from harness.rundir.foreign import find_runs
    from harness.rundir.record import Evidence
    from mlperf_llama_base.errors import UserError

    runs, unread = [], []
    found = find_runs(run_dirs)
    common = _common(found)
    for path in found:
        name = str(path.relative_to(common)) if common else str(path)
        try:
            runs.append(_row(Evidence.load(path), name))
        except UserError as error:
            if len(found) == 1:
                raise
            unread.append(str(error))
    console = terminal.console()
    if common:
        console.print(f"in {common}:", highlight=False, markup=False, soft_wrap=True)
    if runs:
        print_table(console, [HEADS, *(row.cells for row in runs)])
    for text in [*(line for row in runs for line in row.lines), *unread]:
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    if any(row.foreign for row in runs):
        console.print(NOT_RECORDED, highlight=False, markup=False, soft_wrap=True)
    if unread or not all(row.valid for row in runs):
        raise typer.Exit(1)


def _common(paths: list[Path]) -> Path | None:
    """The folder that all lie in, which need not be said in every row; None where that says nothing."""
    if len(paths) < 2 or len({path.is_absolute() for path in paths}) > 1:
        return None
    common = Path(os.path.commonpath(paths))
    return None if common == Path() else common


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A run in the table, and the lines about it below."""

    cells: tuple[str, ...]
    lines: list[str]
    valid: bool
    foreign: bool


def _row(run: Evidence, name: str) -> _Row:
    from harness.verdict.result import result_from

    result, foreign = result_from(run), run.is_foreign
    cells = (
        name,
        result.scenario,
        result.mode,
        (result.loadgen.validity or "") if foreign else "",
        {"valid": "yes", "not valid": "NO"}.get(result.state, "too short"),
        "not recorded" if foreign else _yes(result.submittable),
        *(_cell(figure.of(result)) for figure in FIGURES),
    )
    lines = [f"{name}: {result.state}: {text}" for text in result.invalid_reasons]
    against = [r.text for r in result.reasons if r.breaks == "submission" and r.rule != FOREIGN_RULE]
    if against:
        where = f" (and {len(against) - 1} more reasons: mlperf-llama report {run.run_dir})" if len(against) > 1 else ""
        lines.append(f"{name}: not submittable: {against[0]}{where}")
    lines += [f"{name}: to be explained: {remark.text}" for remark in result.remarks]
    return _Row(cells=cells, lines=lines, valid=result.valid, foreign=foreign)


def print_table(console: Console, rows: list[tuple[str, ...]]) -> None:
    """Print ``rows``, the first of them the head, without empty columns; turned on its side where it is too wide.

    No figure is ever cut off: if neither form fits, the table is wider than the terminal.
    """
    from rich.table import Table

    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    forms = ([list(row) for row in zip(*columns, strict=True)], [list(column) for column in columns])
    chosen = next((form for form in forms if _width(form) <= console.width), forms[0])
    table = Table(*(chosen[0]))
    for row in chosen[1:]:
        table.add_row(*row)
    width = console.width
    console.width = max(width, _width(chosen))
    console.print(table)
    console.width = width


def _width(rows: list[list[str]]) -> int:
    return sum(max(map(len, column)) + 3 for column in zip(*rows, strict=True)) + 1


def _yes(value: bool) -> str:
    return "yes" if value else "NO"


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"


HEADS = ("run", "scenario", "mode", "LoadGen says", "valid", "submittable", *(figure.head for figure in FIGURES))
FOREIGN_RULE = "record.foreign"
NOT_RECORDED = (
    "not recorded: LoadGen's logs of another harness do not tell model, data set and engine; a whole submission "
    "tree is judged by mlperf-llama submission check"
)
