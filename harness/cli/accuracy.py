"""``mlperf-llama accuracy RUN_DIR``: score an accuracy run, offline, and bring its result.json up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def accuracy(
    run_dir: Annotated[Path, typer.Argument(help="Directory of a run with --mode accuracy")],
    scorer: Annotated[
        str | None, typer.Option(help="fast, rouge-score or evaluate; none: the run's own choice")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set that ran, if it is not where the run found it")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Folder or hub id of the model's tokenizer")] = None,
    log: Annotated[Path | None, typer.Option(help="Accuracy log, if it is not in RUN_DIR")] = None,
) -> None:
    """Score LoadGen's accuracy log with ROUGE as the reference does; writes accuracy.txt and updates result.json."""
    from harness import terminal
    from harness.accuracy.score_run import score_run
    from harness.verdict.result import write_result

    console = terminal.console()
    with console.status("scoring") as status:
        scores = score_run(
            run_dir,
            scorer=scorer,
            dataset=dataset,
            tokenizer=tokenizer,
            log=log,
            on_step=lambda step: status.update(step),
        )
    result = write_result(run_dir)
    console.print(_table(result["accuracy"]))
    if scores.partial:
        console.print(f"partial: {scores.partial}; the targets do not apply", highlight=False)
    console.print(f"{run_dir / 'accuracy.txt'}: {scores.gen_num:,} samples, scorer {scores.scorer}", highlight=False)
    for reason in result["invalid_reasons"]:
        console.print(f"not valid: {reason}", highlight=False)
    if not result["valid"]:
        raise typer.Exit(1)


def _table(scores: dict[str, Any]) -> Any:
    from rich.table import Table

    table = Table("score", "value", "target", "")
    applies = scores["partial"] is None
    for name, target in scores["targets"].items():
        value, low, high = scores[name], target["minimum"], target["maximum"]
        bounds = f"≥ {low:,.10g}" + (f", ≤ {high:,.10g}" if high is not None else "")
        met = value >= low and (high is None or value <= high)
        table.add_row(name, f"{value:,}", bounds, ("met" if met else "missed") if applies else "does not apply")
    return table
