"""What is known of the workers, and every decision about whom to give up, start again or stop waiting for.

Pure, as the dispatcher is: no thread, no process, no clock of its own. The hub says what happened and when, and carries
out the actions; a test does the same in time that it makes up.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import msgspec

from mlperf_llama_base.errors import EnvironmentFault, HarnessError, RunError, UserError
from sut.messages import Fault, Heartbeat, Hello, Ready, WorkerSpec

FINAL_EXIT_CODES = (UserError.exit_code, EnvironmentFault.exit_code)  # of a fault that comes again at every start
RETRY_S = 1.0  # before a start that the machine refused is tried again; doubled each time


class State(StrEnum):
    """Of one worker. The values are what status.json and session.json say."""

    STARTING = "starting"
    UNPLACED = "no place"
    LOADING = "loading"
    READY = "ready"
    LOST = "lost"
    """Given up, its samples returned; the end of its process is waited for."""
    DEAD = "dead"
    """Not started again."""


class Do(StrEnum):
    """What is to be done with a worker."""

    START = "start its process"
    RELEASE = "give its samples to others"
    KILL = "kill its process and all that it started"


class Action(NamedTuple):
    do: Do
    worker: int


class LostWorker(msgspec.Struct, frozen=True):
    """A worker that was given up at Unix time ``time_s``; ``samples_returned`` went to the others."""

    worker: int
    node: str
    reason: str
    samples_returned: int
    time_s: float


@dataclass(kw_only=True, slots=True)
class SupervisorOptions:
    """Seconds and counts; see ``workers`` in the configuration.

    ``exit_timeout_s``: for a worker that reported its fault, to be gone by itself. ``kill_timeout_s``: for the kernel
    to end a process that was killed; one that hangs in a driver's call may never end.
    """

    start_timeout_s: float = 900.0
    heartbeat_timeout_s: float = 15.0
    stall_timeout_s: float = 180.0
    max_restarts: int = 3
    placement_timeout_s: float = 60.0
    exit_timeout_s: float = 10.0
    kill_timeout_s: float = 30.0


@dataclass(slots=True)
class WorkerView:
    """What is known of one worker, over all its incarnations. Times in seconds of the supervisor's callers.

    ``restarts``: how often it was started again. ``beyond_help``: a restart would end in the same way. ``tokens``: of
    completed samples; ``before``: what ``beat.tokens`` was when the test began. ``beat_at``: when the beat came.
    """

    spec: WorkerSpec
    state: State = State.STARTING
    node: str = ""
    gpu: str | None = None
    numa_nodes: list[int] = field(default_factory=list)
    pid: int = 0
    restarts: int = 0
    beyond_help: bool = False
    fault: str = ""
    exit_code: int = 0
    samples: int = 0
    tokens: int = 0
    load_s: float = 0.0
    warm_up_s: float = 0.0
    beat: Heartbeat = field(default_factory=lambda: Heartbeat(state="starting"))
    before: int = 0
    beat_at: float = 0.0
    beats: int = 0
    busy_beats: int = 0
    start_due: float | None = None
    started: float = 0.0
    heard: float = 0.0
    moved: float = 0.0
    idle_since: float = 0.0
    progress: int = -1
    lost_since: float = 0.0
    killed: float | None = None

    @property
    def name(self) -> str:
        return f"worker {self.spec.id}{f' on {self.node}' if self.node else ''}"

    @property
    def trouble(self) -> str:
        """Why it is not ready, as far as that is known."""
        no_place = "no node has room for it" if self.state is State.UNPLACED else ""
        return "; ".join(filter(None, (self.fault, no_place))) or self.state

    @property
    def counted(self) -> int:
        """Tokens that it had made in this test when it last said so, those of unfinished answers included."""
        return self.beat.tokens - self.before

    @property
    def made(self) -> int:
        """Tokens that it has made in this test, as far as is known."""
        return max(self.counted, self.tokens)

    def new_test(self) -> None:
        """Count from zero; nothing is outstanding, so what completed is all that it has made."""
        self.before = max(self.beat.tokens, self.before + self.tokens)
        self.samples = self.tokens = self.beats = self.busy_beats = 0


class Supervisor:
    """Tell it what happens; take what is to be done from :meth:`actions`, and ask :meth:`look` several times a second.

    Every ``now`` is of one clock that does not run while the caller itself is stopped.
    """

    def __init__(self, options: SupervisorOptions) -> None:
        self.options = options
        self.workers: dict[int, WorkerView] = {}
        self._actions: list[Action] = []
        self._served = False

    def actions(self) -> list[Action]:
        """What is to be done now, in this order; each is given once."""
        taken, self._actions = self._actions, []
        return taken

    def admit(self, spec: WorkerSpec, now: float) -> None:
        """Take a worker on; its start is the first action."""
        view = WorkerView(spec)
        self.workers = self.workers | {spec.id: view}  # others may be reading it
        self._start(view, now)

    # -- what happened ---------------------------------------------------------------------------------------------

    def hello(self, view: WorkerView, message: Hello) -> None:
        view.pid, view.node, view.gpu, view.state = message.pid, message.node, message.gpu, State.LOADING
        view.numa_nodes = message.numa_nodes

    def ready(self, view: WorkerView, message: Ready, now: float) -> None:
        view.state, view.fault = State.READY, ""
        view.load_s, view.warm_up_s = message.load_s, message.warm_up_s
        view.moved = view.idle_since = now
        self._served = True

    def heartbeat(self, view: WorkerView, message: Heartbeat) -> None:
        view.beat, view.beat_at = message, view.heard
        view.beats += 1
        view.busy_beats += message.running > 0

    def fault(self, view: WorkerView, message: Fault, now: float) -> None:
        """It said that it cannot go on. Its process should end by itself now."""
        view.exit_code = message.exit_code
        view.beyond_help = message.exit_code in FINAL_EXIT_CODES
        self._lose(view, message.reason, now)

    def nonsense(self, view: WorkerView, now: float) -> None:
        """It sent what is no message."""
        self._lose(view, "sent a message that cannot be decoded", now, kill=True)

    def placed(self, view: WorkerView, node: str | None, now: float) -> None:
        """Where a worker that starts has been put; ``None``: there is no place for it yet."""
        if node is None:
            view.state, view.node = State.UNPLACED, ""
            return
        if view.state is State.UNPLACED:
            view.started = now
        view.state, view.node = State.STARTING, node

    def exited(self, worker: int, incarnation: int, reason: str, now: float) -> None:
        """Its process has ended: start it again, unless that was done often enough or cannot help."""
        view = self.workers[worker]
        if incarnation != view.spec.incarnation:
            return
        self._lose(view, view.fault or reason, now)
        self._again(view, now)

    def start_failed(self, worker: int, reason: str, now: float) -> None:
        """The machine refused to make its process (no memory, no file handles): it may have some soon."""
        view = self.workers[worker]
        self._lose(view, f"could not be started: {reason}", now)
        self._again(view, now, after_s=RETRY_S * 2**view.restarts)

    # -- what follows from it ----------------------------------------------------------------------------------------

    def look(self, now: float, *, holding: Container[int]) -> bool:
        """Judge every worker. ``holding``: those that samples are outstanding with. Returns whether any has moved on.

        Raises ``UserError``, ``EnvironmentFault`` or ``RunError`` when no worker is left.
        """
        moved = False
        for view in self.workers.values():
            moved |= self._moved(view, now, holds=view.spec.id in holding)
            self._judge(view, now)
        if self.gone(now) == len(self.workers):
            reasons = sorted({view.fault or "no node has room for it" for view in self.workers.values()})
            kind = RunError if self._served else EnvironmentFault
            ended = kind(f"no worker is left: {'; '.join(reasons)} (see workers/*.log)")
            raise of_input(self.workers.values()) or ended
        return moved

    def gone(self, now: float) -> int:
        """Workers that are dead, or that no node had room for in time."""
        return sum(view.state is State.DEAD or self._unplaced(view, now) for view in self.workers.values())

    def _unplaced(self, view: WorkerView, now: float) -> bool:
        """No node had room for it in time. It may go on waiting as long as others work: nodes come back."""
        return view.state is State.UNPLACED and now - view.started > self.options.placement_timeout_s

    def _moved(self, view: WorkerView, now: float, *, holds: bool) -> bool:
        """Note since when a worker with work has made no step, and since when it knows of none though it was sent."""
        moved = view.beat.progress != view.progress
        busy = view.beat.waiting + view.beat.running > 0
        if moved or not busy:
            view.moved = now
        if moved or busy or not holds:
            view.idle_since = now
        view.progress = view.beat.progress
        return moved

    def _judge(self, view: WorkerView, now: float) -> None:
        state, options = view.state, self.options
        if view.start_due is not None:
            if now >= view.start_due:
                self._start(view, now)
        elif state is State.LOST:
            self._see_off(view, now)
        elif state in (State.LOADING, State.READY) and now - view.heard > options.heartbeat_timeout_s:
            self._lose(view, f"no heartbeat for {now - view.heard:.0f} s", now, kill=True)
        elif state is State.READY and now - view.moved > options.stall_timeout_s:
            self._lose(view, f"has work but made no progress for {now - view.moved:.0f} s", now, kill=True)
        elif state is State.READY and now - view.idle_since > options.heartbeat_timeout_s:
            # ZeroMQ drops what was under way when it has to connect again after a broken link
            self._lose(view, "does not know of samples that were sent to it: its connection broke", now, kill=True)
        elif state in (State.STARTING, State.LOADING) and now - view.started > options.start_timeout_s:
            self._lose(view, f"was not ready within {options.start_timeout_s:.0f} s", now, kill=True)

    def _see_off(self, view: WorkerView, now: float) -> None:
        """A worker that was given up must end, for its device is wanted: by itself, or killed, or named."""
        if view.killed is None:
            if now - view.lost_since > self.options.exit_timeout_s:
                self._kill(view, now)
        elif now - view.killed > self.options.kill_timeout_s:
            which = f"process {view.pid}" if view.pid else "its process"
            view.state, view.fault = State.DEAD, f"{view.fault}; {which} of {view.name} cannot be killed"

    def _lose(self, view: WorkerView, reason: str, now: float, *, kill: bool = False) -> None:
        if view.state not in (State.LOST, State.DEAD):
            view.state, view.fault, view.lost_since = State.LOST, reason, now
            self._actions.append(Action(Do.RELEASE, view.spec.id))
        if kill:
            self._kill(view, now)

    def _kill(self, view: WorkerView, now: float) -> None:
        view.killed = now
        self._actions.append(Action(Do.KILL, view.spec.id))

    def _again(self, view: WorkerView, now: float, *, after_s: float = 0.0) -> None:
        if view.beyond_help or view.restarts >= self.options.max_restarts:
            view.state = State.DEAD
            return
        view.restarts += 1
        view.spec.incarnation += 1
        view.state = State.STARTING
        if after_s:
            view.start_due = now + after_s
        else:
            self._start(view, now)

    def _start(self, view: WorkerView, now: float) -> None:
        view.started = view.heard = view.moved = view.idle_since = now
        view.state, view.start_due, view.killed = State.STARTING, None, None
        view.progress = -1
        view.before = -view.made
        view.beat, view.beat_at = Heartbeat(state="starting"), now
        self._actions.append(Action(Do.START, view.spec.id))


def of_input(views: Iterable[WorkerView]) -> HarnessError | None:
    """What the user gave, if that is why workers cannot start: it is the same for all of them."""
    dead = [view for view in views if view.state is State.DEAD]
    wrong = {view.fault for view in dead if view.exit_code == UserError.exit_code}
    return UserError("; ".join(sorted(wrong))) if wrong else None
