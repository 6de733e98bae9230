"""``mlperf-llama accuracy RUN_DIR``: score an accuracy run, offline, and bring its result.json up to date.

In another harness's directory nothing is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from harness.rundir.result import AccuracyResult, Result
    from harness.rundir.scores import Accuracy


def accuracy(
    run_dir: Annotated[Path, typer.Argument(help="Directory of an accuracy run, or of another harness's LoadGen logs")],
    scorer: Annotated[
        str | None, typer.Option(help="fast, rouge-score or evaluate; none: the run's own choice")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set that ran, if it is not where the run found it")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Folder or hub id of the model's tokenizer")] = None,
    log: Annotated[Path | None, typer.Option(help="Accuracy log, if it is not in RUN_DIR")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the scores there (default: RUN_DIR; nowhere for another harness's run).")
    ] = None,
) -> None:
    """Score LoadGen's accuracy log with ROUGE as the reference does; writes accuracy.txt and updates result.json.

    Nothing is written into another harness's directory: its scores are printed, and go to --output.
    """
    from harness import terminal
    from harness.accuracy.score_run import score_run
    from harness.rundir.foreign import is_foreign
    from harness.rundir.names import ACCURACY_TEXT

    console = terminal.console()
    with console.status("scoring") as status:
        scores = score_run(
            run_dir,
            scorer=scorer,
            dataset=dataset,
            tokenizer=tokenizer,
            log=log,
            output=output,
            on_step=lambda step: status.update(step),
        )
    ours = not is_foreign(run_dir)
    result = _judged(run_dir, scores, write=output is None and ours)
    _show(console, scores, result, written=(output or run_dir) / ACCURACY_TEXT if output or ours else None)
    if not result.valid:
        raise typer.Exit(1)


def _show(console: Console, scores: Accuracy, result: Result, *, written: Path | None) -> None:
    if result.accuracy:
        console.print(_table(result.accuracy))
    if scores.partial:
        console.print(f"partial: {scores.partial}; the targets do not apply", highlight=False)
    where = f"{written}: " if written else ""
    console.print(f"{where}{scores.gen_num:,} samples, scorer {scores.scorer}", highlight=False)
    for reason in result.invalid_reasons:
        console.print(f"not valid: {reason}", highlight=False)


def _judged(run_dir: Path, scores: Accuracy, *, write: bool) -> Result:
    """The verdict with these scores; ``write``: they are in the directory already, and result.json is to follow."""
    from harness.loadgen.log import ACCURACY
    from harness.rundir.record import Evidence
    from harness.verdict.result import result_from, write_result

    if write:
        return write_result(run_dir)
    run = Evidence.load(run_dir)
    run.accuracy = scores
    run.digests[ACCURACY] = scores.log_sha256 or ""
    return result_from(run)


def _table(scores: AccuracyResult) -> Table:
    from rich.table import Table

    table = Table("score", "value", "target", "")
    applies = scores.partial is None
    for name, target in scores.targets.items():
        value, low, high = getattr(scores, name), target.minimum, target.maximum
        bounds = f"≥ {low:,.10g}" + (f", ≤ {high:,.10g}" if high is not None else "")
        met = value >= low and (high is None or value <= high)
        table.add_row(name, f"{value:,}", bounds, ("met" if met else "missed") if applies else "does not apply")
    return table
