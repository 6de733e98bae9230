"""``mlperf-llama summarize RUN_DIR...``: one table of scenario results, read from LoadGen's logs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console


def summarize(
    run_dirs: Annotated[list[Path], typer.Argument(help="Run directories, or folders that hold some")],
) -> None:
    """Print a row for each run, with the reasons why it is not valid, and the first why it cannot be submitted."""
    from harness import terminal
    from harness.verdict.result import build_result

    results = [(run, build_result(run)) for run in find_runs(run_dirs)]
    console = terminal.console()
    rows = [("run", "scenario", "mode", "valid", "submittable", *(head for head, _ in FIGURES))]
    for run, result in results:
        cells = [_cell(value(result)) for _, value in FIGURES]
        rows.append(
            (run.name, result["scenario"], result["mode"], _yes(result["valid"]), _yes(result["submittable"]), *cells)
        )
    print_table(console, rows)
    for run, result in results:
        for reason in result["invalid_reasons"]:
            console.print(f"{run.name}: not valid: {reason}", highlight=False, markup=False)
        others = result["not_submittable_reasons"]
        if others:
            where = " in result.json" if (run / "result.json").is_file() else ""
            more = f" (and {len(others) - 1} more reasons{where})" if len(others) > 1 else ""
            console.print(f"{run.name}: not submittable: {others[0]}{more}", highlight=False, markup=False)
        for remark in result["remarks"]:
            console.print(f"{run.name}: to be explained: {remark['text']}", highlight=False, markup=False)
    if not all(result["valid"] for _, result in results):
        raise typer.Exit(1)


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


def find_runs(given: list[Path]) -> list[Path]:
    """The run directories among ``given`` and one level below. Raises ``UserError`` for one that holds none."""
    from harness.rundir.record import is_run_dir
    from mlperf_llama_base.errors import UserError

    runs: list[Path] = []
    for path in given:
        below = sorted(child for child in path.iterdir() if is_run_dir(child)) if path.is_dir() else []
        found = [path] if is_run_dir(path) else below
        if not found:
            raise UserError(f"{path} holds no run: give directories that mlperf-llama run wrote")
        runs += found
    return runs


def _yes(value: bool) -> str:
    return "yes" if value else "NO"


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"


def _part(section: str, key: str) -> Any:
    return lambda result: (result[section] or {}).get(key)


FIGURES: tuple[tuple[str, Any], ...] = (
    ("samples/s", lambda result: result["samples_per_second"]),
    ("tokens/s", lambda result: result["tokens_per_second"]),
    ("TTFT p99 ms", _part("ttft_ms", "p99")),
    ("TPOT p99 ms", _part("tpot_ms", "p99")),
    ("latency p90 ms", _part("latency_ms", "p90")),
    ("ROUGE-1", _part("accuracy", "rouge1")),
    ("ROUGE-2", _part("accuracy", "rouge2")),
    ("ROUGE-L", _part("accuracy", "rougeL")),
    ("ROUGE-Lsum", _part("accuracy", "rougeLsum")),
)
