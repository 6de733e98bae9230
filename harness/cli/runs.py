"""``mlperf-llama runs [DIR]``: the experiment log: every run below a folder, filtered, for people and for scripts."""

from __future__ import annotations

import csv
import datetime
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.config import Scenario
from harness.rundir.figures import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from harness.report.catalog import Entry

_STYLES = {Verdict.VALID: "green", Verdict.TOO_SHORT: "yellow", Verdict.RUNNING: "cyan"}


def runs(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Folder with runs, at any depth")] = Path("runs"),
    scenario: Annotated[
        list[Scenario] | None, typer.Option(help="Only this scenario (repeatable)", case_sensitive=False)
    ] = None,
    model: Annotated[str | None, typer.Option(help="Only models with this in their name or path")] = None,
    verdict: Annotated[
        list[Verdict] | None, typer.Option(help="Only this verdict (repeatable)", case_sensitive=False)
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only runs since 2026-11-26, or of the last 12h, 7d, 2w")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the runs as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV: a column for each setting that differs.")] = False,
    mlflow: Annotated[
        str | None, typer.Option(metavar="URI", help="MLflow server or sqlite:///FILE to log them to (extra mlflow)")
    ] = None,
) -> None:
    """List the runs below a folder, oldest first: date, what, verdict, figures, and the settings that differ."""
    from harness.report import catalog
    from mlperf_llama_base.errors import UserError

    if as_json and as_csv:
        raise UserError("--json and --csv: give one of them")
    now = datetime.datetime.now(datetime.UTC)
    wanted = catalog.Filter(
        scenarios=[one.value for one in scenario or ()],
        model=model,
        verdicts=verdict or (),
        since=None if since is None else catalog.moment(since, now),
    )
    every, unread = catalog.entries(folder)
    found = [one for one in every if wanted.takes(one)]
    usual = catalog.differing(found)
    if mlflow is not None:
        _log(found, mlflow)
    if as_json:
        typer.echo(json.dumps([catalog.as_row(one, list(usual)) for one in found], indent=1, default=str))
    elif as_csv:
        _print_csv(found, list(usual))
    else:
        _show(found, usual, of=len(every))
    for text in unread:
        typer.echo(text, err=True)


def _print_csv(found: Sequence[Entry], keys: list[str]) -> None:
    from harness.report import catalog

    rows = [catalog.as_row(one, keys) for one in found]
    flat = [{name: value for name, value in row.items() if name != "settings"} | row["settings"] for row in rows]
    writer = csv.DictWriter(sys.stdout, list(flat[0]) if flat else ["run"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)


def _show(found: Sequence[Entry], usual: Mapping[str, object], *, of: int) -> None:
    from rich.table import Table
    from rich.text import Text

    from harness import terminal

    console = terminal.console()
    if console.width < 100:
        for one in found:
            for part, style in zip(_cells(one, usual), ("dim", "bold", "", _style(one), "", "dim"), strict=True):
                if part:
                    console.print(Text(part, style=style))
            console.print()
    else:
        table = Table("date", "run", "what", "verdict", "figures", "settings that differ", box=None, header_style="dim")
        _fill(table, found, usual)
        console.print(table)
    count = f"{len(found)} of {of} runs" if len(found) < of else f"{of} run{'s' * (of != 1)}"
    console.print(f"{count}; mlperf-llama report and compare take any of them", highlight=False, style="dim")


def _fill(table: Table, found: Sequence[Entry], usual: Mapping[str, object]) -> None:
    from rich.text import Text

    for column in table.columns:
        column.overflow = "fold"
    for one in found:
        date, name, what, verdict, figures, settings = _cells(one, usual)
        table.add_row(
            Text(date, style="dim"),
            Text(name),
            Text(what),
            Text(verdict, style=_style(one)),
            Text(figures),
            Text(settings),
        )


def _style(one: Entry) -> str:
    return _STYLES.get(one.verdict, "red")


def _cells(one: Entry, usual: Mapping[str, object]) -> tuple[str, ...]:
    """An entry as texts; of the settings those that are not what most runs have."""
    from harness.report.catalog import ALL_FIGURES
    from harness.report.flat import value_text
    from harness.text import number

    date = one.started.astimezone().strftime("%Y-%m-%d %H:%M") if one.started else "–"
    model = Path(one.model).name if one.model else "no model"
    what = f"{one.scenario} {one.mode}, {model}, {one.engine or 'an unknown engine'}"
    what += f" on {one.accelerators}" if one.accelerators else ""
    verdict = one.verdict.words + (", submittable" if one.submittable else "")
    shown = [(figure.head, one.figures[figure.field]) for figure in ALL_FIGURES]
    figures = ", ".join(f"{head} {number(value)}" for head, value in shown if value is not None) or (one.why or "")
    own = [f"{key}={value_text(one.settings.get(key))}" for key in usual if one.settings.get(key) != usual[key]]
    return date, one.name, what, verdict, figures, ", ".join(own)


def _log(found: Sequence[Entry], uri: str) -> None:
    from harness.report.mlflow_log import EXPERIMENT, log_runs

    logged = list(log_runs(found, uri=uri))
    new = sum(is_new for _, is_new in logged)
    typer.echo(f"MLflow: {new} runs logged to experiment {EXPERIMENT!r}, {len(logged) - new} were there", err=True)
