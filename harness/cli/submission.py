"""``mlperf-llama submission``: build a tree, check a tree."""

from __future__ import annotations

from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import sub_commands
from mlperf_llama_base.errors import UserError

if TYPE_CHECKING:
    from harness.submission.again import Scorer
    from harness.submission.build import Order
    from harness.submission.check import TreeFinding
    from harness.submission.scrub import Find

app = sub_commands("Build and check a submission tree.")


class Division(StrEnum):
    """Network is not here: it needs LoadGen on another machine than the whole system (inference_rules.adoc)."""

    CLOSED = "closed"
    OPEN = "open"


@app.command("build")
def build(
    runs: Annotated[
        list[Path], typer.Argument(help="Directories of campaigns or single runs; or of MLCommons' endpoints client.")
    ],
    output: Annotated[Path, typer.Option("--output", help="Root of the tree; systems can be added to it one by one.")],
    submitter: Annotated[str, typer.Option("--submitter", help="Name of the submitting organisation.")],
    system_id: Annotated[str, typer.Option("--system-id", help="Name of the system's directory.")],
    division: Annotated[Division, typer.Option("--division", help="Division.")] = Division.CLOSED,
    system: Annotated[
        Path | None, typer.Option("--system", help="System description (YAML); written with blanks if it is not there.")
    ] = None,
    backup: Annotated[
        Path | None, typer.Option("--backup", help="For the complete accuracy logs (default: OUTPUT-accuracy-logs).")
    ] = None,
    calibration_notes: Annotated[
        Path | None, typer.Option("--calibration-notes", help="Text on calibration data, for the documentation.")
    ] = None,
    measurements: Annotated[
        Path | None,
        typer.Option("--measurements", help="Runs of the endpoints client: YAML on the weights; written with blanks."),
    ] = None,
    allow_invalid: Annotated[
        bool, typer.Option("--allow-invalid", help="Open division: take runs that are not valid, too.")
    ] = False,
    rehearsal: Annotated[
        bool, typer.Option("--rehearsal", help="Take valid runs that are not submittable; the tree says so.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace this system's results in the tree.")] = False,
) -> None:
    """Build the v6.1 tree from a campaign and check it. Exit code 1 if it cannot be built or has errors."""
    from harness.submission.build import Order

    order = Order(
        tree=output,
        backup=backup or output.with_name(f"{output.name}-accuracy-logs"),
        submitter=submitter,
        division=division.value,
        system_id=system_id,
        system_yaml=system or Path(f"{system_id}.yaml"),
        notes=_text(calibration_notes) if calibration_notes else "",
        allow_invalid=allow_invalid,
        rehearsal=rehearsal,
        overwrite=overwrite,
    )
    _build(runs, order, measurements or Path(f"{system_id}-measurements.yaml"))
    _report(output, order.backup)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UserError(f"--calibration-notes {path} cannot be read ({why}): give a text file") from error


def _build(runs: list[Path], order: Order, measurements: Path) -> None:
    """Build, and say what was built and what was changed on the way."""
    from harness.submission.build import Refused, build_tree
    from harness.submission.endpoints_form import build_endpoints, find_endpoints
    from harness.submission.runs import find_system

    try:
        if theirs := find_endpoints(runs):
            built = build_endpoints(theirs, order, measurements=measurements)
        else:
            built = build_tree(find_system(runs), order)
    except Refused as error:
        typer.echo("No submission can be built from these runs:", err=True)
        for reason in error.reasons:
            typer.echo(f"  - {reason}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"built {built.directory} ({built.files} files); complete accuracy logs: {order.backup}")
    for note in built.notes:
        typer.echo(f"  note: {note}")
    for path, finds in built.scrubbed.items():
        typer.echo(f"  removed from {path}: {_where(finds)}")


def _where(finds: list[Find]) -> str:
    """Kinds and lines of what was removed; not the texts, which would be published in a log instead."""
    lines: dict[str, list[int]] = {}
    for find in finds:
        lines.setdefault(find.kind, []).append(find.line)
    return "; ".join(
        f"{kind} in line{'s'[: len(at) > 1]} {', '.join(map(str, dict.fromkeys(at)))}" for kind, at in lines.items()
    )


@app.command("check")
def check(
    tree: Annotated[
        Path,
        typer.Argument(help="Root of the tree: it holds closed/ or open/, or of MLPerf Endpoints results/."),
    ],
    backup: Annotated[
        Path | None, typer.Option("--backup", help="Directory of the complete accuracy logs: compares the hashes.")
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option("--dataset", help="Data set of the runs: scores the complete logs again.")
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", help="Folder or hub id of the model's tokenizer, with --dataset.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check any v6.1 tree, or one of MLPerf Endpoints. Exit code 1 if a finding is an error."""
    from harness.submission.again import Scorer

    if (dataset is None) != (tokenizer is None):
        raise UserError("scoring again takes both --dataset FILE and --tokenizer DIR: give the other one, too")
    scorer = Scorer(dataset, tokenizer) if dataset is not None and tokenizer is not None else None
    _report(tree, backup, scorer=scorer, as_json=as_json)


def _report(tree: Path, backup: Path | None, *, scorer: Scorer | None = None, as_json: bool = False) -> None:
    from harness.submission.check import Severity, check_submission, rules

    if _is_of_endpoints(tree):
        from harness.endpoints import check as curves

        findings, count = curves.check_tree(tree), len(curves.rules())
    else:
        findings, count = check_submission(tree, backup=backup, scorer=scorer), len(rules())
    if as_json:
        _print_json(findings)
    else:
        _print_text(findings)
        counts = {severity: sum(f.severity is severity for f in findings) for severity in Severity}
        typer.echo(f"{count} rules checked: {', '.join(f'{count} {name}s' for name, count in counts.items())}")
    if any(finding.severity is Severity.ERROR for finding in findings):
        raise typer.Exit(1)


def _is_of_endpoints(tree: Path) -> bool:
    """A submission of MLPerf Endpoints, or its organization's directory: results without a division above them."""
    divided = any((tree / name).is_dir() for name in ("closed", "open", "network"))
    return not divided and any((path / "results").is_dir() for path in (tree, *tree.glob("*"), *tree.glob("*/*")))


def _print_text(findings: list[TreeFinding]) -> None:
    """File, messages, rule and source; findings of one rule in one file together."""
    for (severity, path, rule, source), group in groupby(
        findings, key=lambda f: (f.severity, f.path, f.rule, f.source)
    ):
        typer.echo(f"{severity.upper():<8}{path}")
        for finding in group:
            typer.echo(f"        {finding.message}")
        typer.echo(f"        [{rule}: {source}]")


def _print_json(findings: list[TreeFinding]) -> None:
    import json
    from dataclasses import asdict

    typer.echo(json.dumps([{"severity": f.severity} | asdict(f) for f in findings], indent=1))
