"""One LoadGen among several: a session on some machine that gets ready, waits, starts at a given time and reports.

Made to be driven from outside, so that the same object serves on this machine and inside an actor on another.
"""

from __future__ import annotations

import io
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.config import Tree, build
from harness.rundir import names
from harness.rundir.record import RunRecord
from harness.session import barrier
from mlperf_llama_base import child
from mlperf_llama_base.node import NODE_VARIABLE
from mlperf_llama_base.scratch import ScratchFolder

if TYPE_CHECKING:
    from harness.monitor import Monitor


@dataclass(frozen=True, kw_only=True)
class MemberState:
    """``phase`` of the session, ``ended``: its exit status, None while it runs, ``error`` if it ended badly.

    ``issued``, ``completed``: samples so far; ``expected``: all that it will issue, if known.
    """

    phase: str
    ended: int | None = None
    error: str | None = None
    issued: int = 0
    completed: int = 0
    expected: int | None = None


class Member:
    """``node``: name of the machine that it is on. ``folder``: where its run goes; None: a new directory of that
    machine, to be fetched with ``files``.
    """

    def __init__(self, tree: Tree, *, node: str, folder: str | None, env: dict[str, str]) -> None:
        self.node = node
        self._scratch = None if folder else ScratchFolder("member")
        self.folder = self._scratch.path / "run" if self._scratch else Path(folder or "")
        self._monitor: Monitor | None = None
        config = build(tree | {"output": str(self.folder)})
        self.folder.mkdir(parents=True, exist_ok=True)
        config.save(self.folder / names.CONFIG)
        (self.folder / barrier.HOLD).touch()
        self._process = child.start(
            "harness.session",
            self.folder,
            log=self.folder / names.SESSION_LOG,
            env={NODE_VARIABLE: node} | env,
        )

    def state(self) -> MemberState:
        """``ready`` only once all that the order to start needs is there, the monitor and every import."""
        code = self._process.poll()
        run = RunRecord(self.folder)
        status = run.status
        phase = (status.phase if status else None) or "starting"
        if phase == barrier.READY and code is None:
            self._arm()
        session = run.session if code else None
        error = (session.error if session else None) or (child.exit_in_words(code) if code else None)
        return MemberState(
            phase=phase,
            ended=code,
            error=error,
            issued=status.issued if status else 0,
            completed=status.completed if status else 0,
            expected=status.expected if status else None,
        )

    def _arm(self) -> None:
        if self._monitor is None:
            import harness.verdict.result  # noqa: F401  needed at the end, and heavy: not while others are measured
            from harness.monitor import Monitor

            self._monitor = Monitor(self.folder, node=self.node).start()

    def now(self) -> float:
        """Unix time here."""
        return time.time()

    def go(self, at: float, before: float) -> bool:
        """Begin at ``at``, Unix time of this machine's clock. False, and nothing done, if it is past ``before`` now."""
        if time.time() > before:
            return False
        barrier.release(self.folder, at)
        return True

    def recall(self) -> bool:
        """Go on waiting; False if the time to begin has come."""
        return barrier.recall(self.folder)

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
