"""An hour of a rented card, step by step: what was measured is on disk after each, so that a cut loses one step.

The same call goes on with what is not done. See :mod:`harness.bench.card_plan` for the steps.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console

from harness.bench.card_plan import Order, Step, steps
from harness.bench.card_record import DONE, StepRecord, figures_of, more_of, read_all, table
from mlperf_llama_base import files, interrupt
from mlperf_llama_base.errors import UserError, nearest
from mlperf_llama_base.source import python_path
from qsl.synthetic import synthesize

SAMPLES, REHEARSED = 2000, 64
LOOP = 20_000_000
CACHE = "vllm-cache"  # below the directory: the first start is a cold one, all others are warm
PORT_S = 600.0
END_S = 60.0  # for a command to end after Ctrl-C
VERDICT = (0, 1)  # exit codes of a command that measured


class Hour:
    """``directory`` gets a folder and a JSON file for each step. ``minutes``: no step is begun that would end later."""

    def __init__(self, directory: Path, order: Order, *, minutes: float | None, console: Console) -> None:
        self.directory, self.order, self.console = directory, order, console
        self._end = None if minutes is None else time.monotonic() + 60 * minutes

    def go(self, only: Sequence[str]) -> int:
        """Carry out what is not done. Returns how many steps failed; ``KeyboardInterrupt`` (Ctrl-C, SIGTERM) comes
        after the record of the step that it cut."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if not self.order.dataset.is_file():
            synthesize(self.order.dataset, count=REHEARSED if self.order.rehearse else SAMPLES, shape="gamma", seed=0)
        failed = 0
        for step in chosen(steps(self.order), only):
            if self._done(step):
                self.console.print(f"{step.name}: done before", highlight=False)
            elif self._end is not None and time.monotonic() + 60 * step.minutes > self._end:
                self.console.print(f"{step.name}: left out, takes about {step.minutes:g} minutes", highlight=False)
            else:
                failed += self._carry_out(step).state != DONE
        self.console.print(table(read_all(self.directory)), highlight=False, markup=False, soft_wrap=True)
        return failed

    def _file(self, step: Step) -> Path:
        return self.directory / f"{step.name}.json"

    def _done(self, step: Step) -> bool:
        return self._file(step).is_file() and any(
            r.name == step.name and r.state == DONE for r in read_all(self.directory)
        )

    def _carry_out(self, step: Step) -> StepRecord:
        began, folder = time.monotonic(), self.directory / step.name
        folder.mkdir(exist_ok=True)
        record = StepRecord(
            name=step.name,
            what=step.what,
            state="cut",
            began=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=0.0,
        )
        self.console.print(f"{step.name}: {step.what}, about {step.minutes:g} minutes", highlight=False)
        try:
            record.host_s = loop_s(LOOP // 20 if self.order.rehearse else LOOP)
            self._commands(step, folder, record)
            broken = [code for code in record.exit_codes if code not in VERDICT]
            record.state = "failed" if broken else DONE
            if broken:
                record.error = last_line(folder / "log.txt")
        finally:
            record.seconds = round(time.monotonic() - began, 1)
            for name in ("run", "direct", "served"):
                if (found := figures_of(folder / name)) is not None:
                    record.runs[name] = found
            record.more = more_of(folder, record.runs)
            files.write_json(self._file(step), msgspec.to_builtins(record))
        said = "; ".join([record.state, *record.more, *([record.error] if record.error else [])])
        self.console.print(f"{step.name}: {said} ({record.seconds:.0f} s)", highlight=False, markup=False)
        return record

    def _commands(self, step: Step, folder: Path, record: StepRecord) -> None:
        port = free_port()
        words = {"dir": str(folder), "port": str(port), "url": f"http://127.0.0.1:{port}"}
        with (folder / "log.txt").open("ab") as log:
            calls = [filled(call, words) for call in step.calls]
            for call in calls[: step.serves]:
                self._call(call, log.fileno(), record)
            with self._server(step, words, port, log.fileno(), record):
                for call in calls[step.serves :]:
                    self._call(call, log.fileno(), record)

    def _call(self, call: list[str], log: int, record: StepRecord) -> None:
        record.commands.append(call)
        with self._process(call, log) as process:
            record.exit_codes.append(process.wait())

    @contextmanager
    def _server(self, step: Step, words: dict[str, str], port: int, log: int, record: StepRecord) -> Iterator[None]:
        if step.served is None:
            yield
            return
        call = filled(step.served, words)
        record.commands.append(call)
        with self._process(call, log) as process:
            deadline = time.monotonic() + PORT_S
            while process.poll() is None and not listens(port) and time.monotonic() < deadline:
                time.sleep(0.2)
            yield

    @contextmanager
    def _process(self, call: list[str], log: int) -> Iterator[subprocess.Popen[bytes]]:
        """One of our commands; at the end of the block it is asked to end as by Ctrl-C, and waited for."""
        environment = os.environ | {
            "PYTHONPATH": python_path(),
            "VLLM_CACHE_ROOT": os.environ.get("VLLM_CACHE_ROOT", str((self.directory / CACHE).resolve())),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", *call],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            yield process
        except KeyboardInterrupt:
            interrupt.taken()
            raise
        finally:
            if process.poll() is None:
                interrupt.ask_to_end(process, signal.SIGINT, grace_s=END_S)


def chosen(all_steps: list[Step], only: Sequence[str]) -> list[Step]:
    """Those named, or that begin with a name; all without names. Raises ``UserError`` for a name that none has."""
    for name in only:
        if not any(step.name.startswith(name) for step in all_steps):
            raise UserError(f"there is no step {name}{nearest(name, [step.name for step in all_steps])}")
    return [step for step in all_steps if not only or any(step.name.startswith(name) for name in only)]


def filled(call: Sequence[str], words: dict[str, str]) -> list[str]:
    """A call with its directory, port and address; other braces are YAML's."""
    found = []
    for part in call:
        for name, value in words.items():
            part = part.replace(f"{{{name}}}", value)
        found.append(part)
    return found


def loop_s(turns: int) -> float:
    """Seconds that a bare Python loop takes."""
    began = time.perf_counter()
    for _ in range(turns):
        pass
    return round(time.perf_counter() - began, 3)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as one:
        one.settimeout(1.0)
        return one.connect_ex(("127.0.0.1", port)) == 0


def last_line(path: Path) -> str:
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
