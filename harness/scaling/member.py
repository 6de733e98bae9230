"""One LoadGen among several: a session on some machine that gets ready, waits, starts at a given time and reports.

Made to be driven from outside, so that the same object serves on this machine and inside an actor on another.
"""

from __future__ import annotations

import io
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import Tree, build
from harness.rundir import names
from harness.rundir.record import RunRecord
from harness.session import barrier
from mlperf_llama_base import child
from mlperf_llama_base.scratch import ScratchFolder


@dataclass(frozen=True, kw_only=True)
class MemberState:
    """``phase`` of the session, ``ended``: its exit status, None while it runs, ``error`` if it ended badly."""

    phase: str
    ended: int | None
    error: str | None


class Member:
    """``folder``: where its run goes; None: a new directory of this machine, to be fetched with ``files``."""

    def __init__(self, tree: Tree, *, name: str, folder: str | None, env: dict[str, str]) -> None:
        self.name = name
        self._scratch = None if folder else ScratchFolder("member")
        self.folder = self._scratch.path / "run" if self._scratch else Path(folder or "")
        self._monitor: Any = None
        config = build(tree | {"output": str(self.folder)})
        self.folder.mkdir(parents=True, exist_ok=True)
        config.save(self.folder / names.CONFIG)
        (self.folder / barrier.HOLD).touch()
        self._process = child.start(
            "harness.session",
            self.folder,
            log=self.folder / names.SESSION_LOG,
            env={"MLPERF_LLAMA_NODE": name} | env,
        )

    def state(self) -> MemberState:
        code = self._process.poll()
        run = RunRecord(self.folder)
        session = run.session if code else None
        error = (session.error if session else None) or (f"session ended with status {code}" if code else None)
        return MemberState(phase=(run.status.phase if run.status else None) or "starting", ended=code, error=error)

    def now(self) -> float:
        """Unix time here."""
        return time.time()

    def go(self, at: float) -> None:
        """Begin at Unix time ``at`` of this machine's clock."""
        from harness.monitor import Monitor

        self._monitor = Monitor(self.folder, node=self.name).start()
        barrier.release(self.folder, at)

    def finish(self) -> None:
        """Write result.json of a session that has ended."""
        from harness.verdict.result import write_result

        if self._monitor is not None:
            self._monitor.stop()
        write_result(self.folder)

    def files(self) -> bytes:
        """Everything in the run's directory, as tar.gz; the directory is removed if it was made for this."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            archive.add(self.folder, arcname=".")
        if self._scratch is not None:
            self._scratch.remove()
        return buffer.getvalue()

    def stop(self) -> None:
        """End the session and its workers."""
        if self._monitor is not None:
            self._monitor.stop()
        child.end(self._process, grace_s=0.0, ask=False)
