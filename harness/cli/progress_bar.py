"""The bar of a command that takes its time: a terminal gets a moving one, a file or a pipe a line at each tenth."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINES = 10  # for one who reads a log


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Yield the callback that draws on stderr: (done, total). Where the total is unknown, the count alone moves."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from harness import terminal

    console = terminal.console(stderr=True)
    if not console.is_terminal:
        yield _lines(what)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines(what: str) -> Callable[[int, int | None], None]:
    said, stream = 0, sys.stderr  # which may point elsewhere while a library talks

    def say(done: int, total: int | None) -> None:
        nonlocal said
        if total and done * LINES // total > said:
            said = done * LINES // total
            stream.write(f"{what}: {done:,} of {total:,}\n")
            stream.flush()

    return say
