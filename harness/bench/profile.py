"""Where the time of a process goes, by py-spy (extra ``profile``), which looks from outside."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from harness.rundir.files import read_record
from harness.rundir.names import STATUS
from harness.rundir.status import Status
from mlperf_llama_base.errors import EnvironmentFault

RATE = 250  # looks a second
SHOWN = 25
WAIT_S = 60.0
THREAD, LINE = re.compile(r"^thread \(\d+\): "), re.compile(r":\d+\)$")
FILE = "profile.txt"


def find() -> str:
    """The program. Raises ``EnvironmentFault`` where it is not installed."""
    beside = Path(sys.executable).with_name("py-spy")
    program = str(beside) if beside.is_file() else shutil.which("py-spy")
    if program is None:
        raise EnvironmentFault("py-spy is not installed: pip install 'mlperf-llama[profile]', or leave --profile out")
    return program


class Watch(threading.Thread):
    """Profiles the session that runs in ``run_dir`` for ``seconds`` from the beginning of its test.

    Leaves ``profile.folded`` (a stack and its count a line, as flame graphs take it) and ``profile.txt`` there.
    """

    def __init__(self, program: str, run_dir: Path, *, seconds: float) -> None:
        super().__init__(name="profile", daemon=True)
        self._program = program
        self._run_dir = run_dir
        self._seconds = seconds
        self.trouble = ""

    def run(self) -> None:
        pid = self._wait()
        if pid is None:
            self.trouble = "the test never began"
            return
        folded = self._run_dir / "profile.folded"
        options = ["--nonblocking", "--threads", "--format", "raw", "--rate", str(RATE)]
        options += ["--duration", str(max(1, round(self._seconds)))]
        command = [self._program, "record", "--pid", str(pid), "--output", str(folded), *options]
        done = subprocess.run(command, capture_output=True, text=True)
        if folded.is_file():
            (self._run_dir / FILE).write_text(in_words(folded.read_text()))
        else:
            self.trouble = " ".join(done.stderr.split())[-300:] or "py-spy wrote nothing"

    def _wait(self) -> int | None:
        """The session's process, once its test runs."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            status = read_record(self._run_dir / STATUS, Status) if (self._run_dir / STATUS).is_file() else None
            if status is not None and status.phase == "running":
                return status.pid
            time.sleep(0.05)
        return None


def in_words(folded: str) -> str:
    """Shares of all looks at threads that were not idle: each thread's, and each function's own."""
    threads: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        thread = THREAD.sub("", frames[0])
        threads[thread] += int(count)
        functions[f"{LINE.sub(')', frames[-1])}  [{thread}]"] += int(count)
    total = sum(threads.values()) or 1
    lines = [f"{total} looks at threads that were not idle, at {RATE} a second", "", "by thread:"]
    lines += [f"{count / total:7.1%}  {name}" for name, count in threads.most_common()]
    lines += ["", "by function, itself:"]
    lines += [f"{count / total:7.1%}  {name}" for name, count in functions.most_common(SHOWN)]
    return "\n".join(lines) + "\n"
