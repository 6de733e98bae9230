"""The live view of a run: what ``run`` shows while its child measures, and ``watch`` from anywhere else.

Everything comes from the run's ``status.json``, so a run can be watched without touching it. A terminal gets a picture
that redraws in place; anything else (a log file, a pipe, CI) gets one plain line every few seconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.rundir.status import read_status as read_record
from harness.text import duration, number

ENDED = frozenset({"finished", "failed"})
POLL_S = 0.5
PLAIN_EVERY_S = 10.0
STALE_S = 10.0
NARROW = 64  # a phone: one thing in a line
WIDE = 110
_SLACK_ROWS = 12  # what a frame needs besides its worker rows

Status = dict[str, Any]


def read_status(run_dir: Path) -> Status | None:
    """Return the run's live state, or None while there is none that can be read."""
    record = read_record(run_dir)
    status: Status | None = None if record is None else msgspec.to_builtins(record)
    return status


def show(run_dir: Path, *, is_alive: Callable[[], bool], console: Console) -> None:
    """Show the run in ``run_dir`` until it has ended or ``is_alive`` says that nobody works on it any more."""
    if console.is_terminal and not console.is_dumb_terminal:
        _show_live(run_dir, is_alive=is_alive, console=console)
    else:
        _show_lines(run_dir, is_alive=is_alive, console=console)


def _show_live(run_dir: Path, *, is_alive: Callable[[], bool], console: Console) -> None:
    with Live(console=console, auto_refresh=False, transient=False) as live:
        while True:
            alive = is_alive()  # before reading: a status written just before the end is still shown
            status = read_status(run_dir)
            if status is not None:
                live.update(Progress(status), refresh=True)
            if not alive or (status or {}).get("phase") in ENDED:
                return
            time.sleep(POLL_S)


def _show_lines(run_dir: Path, *, is_alive: Callable[[], bool], console: Console) -> None:
    said_at, said_phase = -math.inf, None
    while True:
        alive = is_alive()
        status = read_status(run_dir)
        ended = not alive or (status or {}).get("phase") in ENDED
        if status is not None:
            due = time.monotonic() - said_at >= PLAIN_EVERY_S
            if due or ended or status.get("phase") != said_phase:
                console.print(Text(line(status)), soft_wrap=True)
                said_at, said_phase = time.monotonic(), status.get("phase")
        if ended:
            return
        time.sleep(POLL_S)


def line(status: Status) -> str:
    """Return the state as one plain line."""
    parts = [f"{status.get('scenario', '?')} {status.get('mode', '?')}: {status.get('phase', '?')}", _done(status)]
    if status.get("tokens_per_s") is not None:
        parts.append(f"{number(status['tokens_per_s'])} tokens/s (mean {number(status.get('tokens_per_s_mean'))})")
    parts += [f"{name} p99 {text}" for name, text, _ in _latencies(status)]
    parts += [
        f"{status[key]} {word}" for key, word in (("retried", "retried"), ("restarts", "restarts")) if status.get(key)
    ]
    parts.append(f"elapsed {duration(status.get('elapsed_s'))}, left {duration(status.get('eta_s'))}")
    if status.get("message"):
        parts.append(str(status["message"]))
    return " | ".join(parts)


class Progress:
    """A rich renderable of one ``status.json``."""

    def __init__(self, status: Status) -> None:
        self.status = status

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        narrow = options.max_width < NARROW
        rows = max((options.height or console.size.height) - _SLACK_ROWS - 4 * narrow, 4)
        body: list[Any] = [self._bar(narrow=narrow), self._figures(narrow=narrow)]
        if self.status.get("workers"):
            wide = options.max_width >= WIDE
            body.append(_workers(self.status["workers"], rows=rows, wide=wide, narrow=narrow))
        stale = _stale_s(self.status)
        if stale:
            body.append(Text(f"no news for {duration(stale)}", style="yellow"))
        if self.status.get("message"):
            body.append(Text(str(self.status["message"]), style="yellow"))
        title = Text(f"{self.status.get('scenario', '?')} · {self.status.get('mode', '?')} · ")
        title.append(str(self.status.get("phase", "?")), style="bold")
        yield Panel(Group(*body), title=title, title_align="left")

    def _bar(self, *, narrow: bool) -> Table:
        """How far it is, the words beside the bar or below it."""
        total, done = _expected(self.status), self.status.get("completed") or 0
        bar = ProgressBar(total=float(total), completed=done) if total else Text("")
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(ratio=1)
        if narrow:
            grid.add_row(bar)
            grid.add_row(Text(_done(self.status)))
        else:
            grid.add_column(no_wrap=True)
            grid.add_row(bar, Text(_done(self.status)))
        return grid

    def _figures(self, *, narrow: bool) -> Table:
        grid = Table.grid(padding=(0, 1 if narrow else 2))
        for name, parts, style in self._rows():
            for at, part in enumerate(parts if narrow else [", ".join(parts)]):
                grid.add_row(Text("" if at else name, style="dim"), Text(part, style=style))
        return grid

    def _rows(self) -> Iterator[tuple[str, list[str], str]]:
        """Name, parts and style of each figure; a narrow terminal gets a line for each part."""
        status = self.status
        now, mean, samples = (number(status.get(key)) for key in ("tokens_per_s", "tokens_per_s_mean", "samples_per_s"))
        yield "throughput", [f"{now} tokens/s now", f"{mean} mean", f"{samples} samples/s"], ""
        for name, text, over in _latencies(status):
            yield f"{name} p99", [text], "bold red" if over else "green"
        retried, restarts = status.get("retried") or 0, status.get("restarts") or 0
        said = [f"{retried} samples", f"{restarts} restarts"]
        yield "retried", said, "yellow" if retried or restarts else ""
        elapsed, left = (duration(status.get(key)) for key in ("elapsed_s", "eta_s"))
        yield "time", [f"{elapsed} elapsed", f"{left} left"], ""


def _workers(workers: list[Status], *, rows: int, wide: bool, narrow: bool) -> Table:
    """One row per worker with its rate as a bar; of too many, the slowest, which are what one looks for."""
    shown = workers if len(workers) <= rows else sorted(workers, key=lambda w: w.get("tokens_per_s") or 0)[: rows - 1]
    top = max((w.get("tokens_per_s") or 0 for w in workers), default=0)
    figures: tuple[str, ...] = (
        ("tokens_per_s", "running", "waiting", "samples", "restarts") if wide else ("tokens_per_s", "running")
    )
    figures = figures[:1] if narrow else figures
    table = Table(box=None, padding=(0, 1, 0, 0) if narrow else (0, 1), header_style="dim", expand=True)
    for name in ("worker", "where", "state") if wide else ("worker", "state"):
        table.add_column(name, no_wrap=True, max_width=28)
    table.add_column("rate", ratio=1, min_width=4 if narrow else 8)
    for name in figures:
        table.add_column("tokens/s" if name == "tokens_per_s" else name, justify="right", no_wrap=True)
    for worker in shown:
        rate, state = worker.get("tokens_per_s") or 0, str(worker.get("state", "?"))
        where = " ".join(str(worker[key]) for key in ("node", "gpu") if worker.get(key) is not None)
        table.add_row(
            Text(str(worker.get("id", "?"))),
            *([Text(where)] if wide else []),
            Text(state),
            ProgressBar(total=float(top or 1), completed=rate),
            *(Text(number(worker.get(key))) for key in figures),
        )
    if len(shown) < len(workers):
        table.add_row(Text("…"), Text(f"{len(workers) - len(shown)} faster"))
    return table


def _latencies(status: Status) -> list[tuple[str, str, bool]]:
    """Name, text and whether it is over its limit, of each latency that the scenario has."""
    found = []
    for name in ("ttft", "tpot"):
        now, limit = status.get(f"{name}_p99_ms"), status.get(f"{name}_limit_ms")
        if now is None and limit is None:
            continue
        over = now is not None and limit is not None and now > limit
        allowed = f" of {number(limit)} ms" if limit is not None else ""
        text = f"{number(now)} ms{allowed}{' OVER' if over else ''}"
        found.append((name.upper(), text, over))
    return found


def _done(status: Status) -> str:
    done, total = status.get("completed") or 0, _expected(status)
    if not total:
        return f"{done:,} samples of {status.get('issued') or 0:,} issued"
    return f"{done:,} of {total:,} samples ({100 * done / total:.1f} %)"


def _expected(status: Status) -> int | None:
    """What the test will issue. In Server that is an estimate beforehand, which the arrivals may exceed."""
    expected = status.get("expected")
    return max(int(expected), status.get("issued") or 0) if expected else None


def _stale_s(status: Status) -> float | None:
    written = status.get("time")
    if written is None or status.get("phase") in ENDED:
        return None
    age = time.time() - float(written)
    return age if age > STALE_S else None
