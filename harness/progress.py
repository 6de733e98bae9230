"""The live view of a run: what ``run`` shows while its child measures, and ``watch`` from anywhere else.

Everything comes from the run's ``status.json``, so a run can be watched without touching it. A terminal gets a picture
that redraws in place; anything else (a log file, a pipe, CI) gets one plain line every few seconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
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
        rows = max((options.height or console.size.height) - _SLACK_ROWS, 4)
        body: list[Any] = [self._bar(), self._figures()]
        if self.status.get("workers"):
            body.append(_workers(self.status["workers"], rows=rows, wide=options.max_width >= 90))
        stale = _stale_s(self.status)
        if stale:
            body.append(Text(f"no news for {duration(stale)}", style="yellow"))
        if self.status.get("message"):
            body.append(Text(str(self.status["message"]), style="yellow"))
        title = Text(f"{self.status.get('scenario', '?')} · {self.status.get('mode', '?')} · ")
        title.append(str(self.status.get("phase", "?")), style="bold")
        yield Panel(Group(*body), title=title, title_align="left")

    def _bar(self) -> Table:
        total, done = _expected(self.status), self.status.get("completed") or 0
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        bar = ProgressBar(total=float(total), completed=done) if total else Text("")
        grid.add_row(bar, Text(_done(self.status)))
        return grid

    def _figures(self) -> Table:
        status = self.status
        grid = Table.grid(padding=(0, 2))
        grid.add_row(
            Text("throughput", style="dim"),
            Text(
                f"{number(status.get('tokens_per_s'))} tokens/s now, "
                f"{number(status.get('tokens_per_s_mean'))} mean, "
                f"{number(status.get('samples_per_s'))} samples/s"
            ),
        )
        for name, text, over in _latencies(status):
            grid.add_row(Text(f"{name} p99", style="dim"), Text(text, style="bold red" if over else "green"))
        grid.add_row(
            Text("retried", style="dim"),
            Text(
                f"{status.get('retried') or 0} samples, {status.get('restarts') or 0} restarts",
                style="yellow" if status.get("retried") or status.get("restarts") else "",
            ),
        )
        grid.add_row(
            Text("time", style="dim"),
            Text(f"{duration(status.get('elapsed_s'))} elapsed, {duration(status.get('eta_s'))} left"),
        )
        return grid


def _workers(workers: list[Status], *, rows: int, wide: bool) -> Table:
    """One row per worker with its rate as a bar; of too many, the slowest, which are what one looks for."""
    shown = workers if len(workers) <= rows else sorted(workers, key=lambda w: w.get("tokens_per_s") or 0)[: rows - 1]
    top = max((w.get("tokens_per_s") or 0 for w in workers), default=0)
    figures = ("tokens_per_s", "running", "waiting", "samples", "restarts") if wide else ("tokens_per_s", "running")
    table = Table(box=None, padding=(0, 1), header_style="dim", expand=True)
    for name in ("worker", "where", "state") if wide else ("worker", "state"):
        table.add_column(name, no_wrap=True, max_width=28)
    table.add_column("rate", ratio=1, min_width=8)
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
