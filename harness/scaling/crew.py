"""The members of a coordinated test, spoken to all at once; one that fails or does not answer is out, with the reason.

Who is out stays on record: which member, when, how many samples it had, and why. The others go on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from harness.rundir.scaling import MemberOutcome
from harness.scaling.member import MemberState
from harness.scaling.members import Handle
from harness.session import barrier
from mlperf_llama_base.errors import EnvironmentFault, HarnessError, RunError, UserError

POLL_S = 0.5
PER_MEMBER = 2  # threads: a member that is slow to answer can still be called back


class Crew:
    """``left``: those that are in. ``started``: Unix time of this machine at which all began; None before that."""

    def __init__(self, names: Sequence[str]) -> None:
        self.handles: dict[str, Handle] = {}
        self.outcomes = {name: MemberOutcome(name=name) for name in names}
        self.started: float | None = None
        self._threads = ThreadPoolExecutor(PER_MEMBER * len(names), thread_name_prefix="member")

    @property
    def left(self) -> list[str]:
        return [name for name, outcome in self.outcomes.items() if outcome.status == "ok"]

    def each_start(self, starts: Mapping[str, Callable[[], Handle]]) -> None:
        """Make the members, by name and all at once; one that cannot be made is out."""
        made = {name: self._threads.submit(start) for name, start in starts.items()}
        self.handles = self.answers(made)

    def bring(self, members: Sequence[str], folders: Mapping[str, Path]) -> None:
        """Let members that have ended write their results, and bring all their files here."""

        def work(name: str) -> None:
            self.handles[name].call("finish")
            self.handles[name].fetch(folders[name])

        self.answers({name: self._threads.submit(work, name) for name in members})

    def put_out(self, name: str, why: str, *, exit_code: int | None = None) -> None:
        """This member is out. The first reason stays."""
        outcome = self.outcomes[name]
        if outcome.status == "ok":
            outcome.status = "never started" if self.started is None else "broken"
            outcome.error = " ".join(why.split())
            outcome.exit_code = exit_code
            outcome.at_s = None if self.started is None else max(0.0, time.time() - self.started)

    def submit(self, method: str, arguments: Mapping[str, tuple[Any, ...]] | None = None) -> dict[str, Future[Any]]:
        """Call a method of all that are left, at once. ``arguments``: by name; without them: none."""
        return {
            name: self._threads.submit(self.handles[name].call, method, *(arguments or {}).get(name, ()))
            for name in self.left
        }

    def ask(self, method: str, arguments: Mapping[str, tuple[Any, ...]] | None = None) -> dict[str, Any]:
        """Answers by name, of all who gave one."""
        return self.answers(self.submit(method, arguments))

    def answers(self, asked: Mapping[str, Future[Any]]) -> dict[str, Any]:
        """Wait for all of them. One without an answer is out."""
        wait(list(asked.values()))
        found = {}
        for name, future in asked.items():
            try:
                found[name] = future.result()
            except (HarnessError, OSError) as error:
                self.put_out(name, str(error))
        return found

    def each(self, work: Callable[[str, Handle], Any]) -> dict[str, Any]:
        """Do ``work`` for all that are left, at once."""
        return self.answers({name: self._threads.submit(work, name, self.handles[name]) for name in self.left})

    def until_ready(self, timeout_s: float) -> None:
        """Raises ``EnvironmentFault`` or what the members' own fault is, if none gets there."""
        deadline = time.monotonic() + timeout_s
        while True:
            states: dict[str, MemberState] = self.ask("state")
            for name, state in states.items():
                if state.ended is not None:
                    self.put_out(name, f"could not be started: {state.error}", exit_code=state.ended)
            waiting = {name: states[name].phase for name in self.left if states[name].phase != barrier.READY}
            if waiting and time.monotonic() > deadline:
                for name, phase in waiting.items():
                    self.put_out(name, f"not ready within {timeout_s:.0f} s ({phase}; workers.start_timeout_s)")
                waiting = {}
            if not self.left:
                raise self.fault()
            if not waiting:
                return
            time.sleep(POLL_S)

    def until_ended(self, tell: Callable[[], None] = lambda: None) -> None:
        """Until every member's session is over. ``tell``: is called whenever ``outcomes`` has news."""
        running = set(self.left)
        while running:
            time.sleep(POLL_S)
            for name, state in self.ask("state").items():
                outcome = self.outcomes[name]
                outcome.issued, outcome.completed, outcome.expected = state.issued, state.completed, state.expected
                if state.ended is not None:
                    running.discard(name)
                    outcome.exit_code = state.ended
                    if state.ended:
                        self.put_out(name, str(state.error), exit_code=state.ended)
            running &= set(self.left)
            tell()

    def fault(self) -> HarnessError:
        """What to raise where nobody is left: the first member's reason, in the family of its exit status."""
        name, outcome = next(iter(self.outcomes.items()))
        others = len(self.outcomes) - 1
        more = f" (nor did the {others} other members)" if others else ""
        kind: type[HarnessError] = RunError
        if self.started is None:
            kind = {2: UserError}.get(outcome.exit_code or 0, EnvironmentFault)
        return kind(f"{name}: {outcome.error}{more}")

    def stop(self) -> None:
        """End every session that can be reached."""
        ends = [self._threads.submit(handle.call, "stop") for handle in self.handles.values()]
        for end in ends:
            with contextlib.suppress(HarnessError, OSError):
                end.result()
        self._threads.shutdown(wait=False, cancel_futures=True)
