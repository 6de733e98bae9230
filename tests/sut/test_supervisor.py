"""Who is given up, started again or no longer waited for, in time that the tests make up: no process is started."""

from __future__ import annotations

from collections.abc import Container

import pytest

from mlperf_llama_base.errors import EnvironmentFault, HarnessError, RunError, UserError
from sut.awake import AwakeClock
from sut.messages import EngineInfo, EngineSettings, Fault, Heartbeat, Hello, Ready, WorkerSpec
from sut.supervisor import Action, Do, State, Supervisor, SupervisorOptions, WorkerView

OPTIONS = SupervisorOptions(
    start_timeout_s=100,
    heartbeat_timeout_s=15,
    stall_timeout_s=60,
    max_restarts=2,
    placement_timeout_s=30,
    exit_timeout_s=10,
    kill_timeout_s=20,
)


class Rig:
    """A supervisor and its clock. Nothing is heard of a worker but what a test says."""

    def __init__(self, workers: int = 1, *, options: SupervisorOptions = OPTIONS) -> None:
        self.now = 1000.0
        self.supervisor = Supervisor(options)
        for i in range(workers):
            spec = WorkerSpec(id=i, endpoint="", engine=EngineSettings(name="null", model=""))
            self.supervisor.admit(spec, self.now)
        assert self.supervisor.actions() == [Action(Do.START, i) for i in range(workers)]

    def view(self, worker: int = 0) -> WorkerView:
        return self.supervisor.workers[worker]

    def placed(self, worker: int = 0, node: str | None = "here") -> None:
        self.supervisor.placed(self.view(worker), node, self.now)

    def ready(self, worker: int = 0) -> None:
        view = self.view(worker)
        self.placed(worker)
        self.supervisor.hello(view, Hello(100 + worker, "here"))
        view.heard = self.now
        info = EngineInfo(name="null", version="1", capacity=4, eos_token_ids=[2])
        self.supervisor.ready(view, Ready(info, 1.0, 1.0), self.now)

    def beat(self, worker: int = 0, *, running: int = 0, progress: int = 0) -> None:
        view = self.view(worker)
        view.heard = self.now
        self.supervisor.heartbeat(view, Heartbeat(state="ready", running=running, progress=progress))

    def look(self, seconds: float = 0.0, *, holding: Container[int] = ()) -> list[tuple[Do, int]]:
        self.now += seconds
        self.supervisor.look(self.now, holding=holding)
        return [(action.do, action.worker) for action in self.supervisor.actions()]

    def exits(self, worker: int = 0, reason: str = "exited with status 1") -> list[tuple[Do, int]]:
        self.supervisor.exited(worker, self.view(worker).spec.incarnation, reason, self.now)
        return [(action.do, action.worker) for action in self.supervisor.actions()]


def test_a_worker_comes_up() -> None:
    r = Rig()
    assert r.view().state is State.STARTING
    r.placed()
    r.supervisor.hello(r.view(), Hello(4711, "node-7", "GPU"))
    assert (r.view().state, r.view().pid, r.view().name) == (State.LOADING, 4711, "worker 0 on node-7")
    r.ready()
    assert r.view().state is State.READY
    assert r.look(10.0) == []


def test_a_process_that_ends_is_started_again_as_often_as_it_may_be() -> None:
    r = Rig(2)
    r.ready(1)
    for restart in (1, 2):
        assert r.exits() == [(Do.RELEASE, 0), (Do.START, 0)]
        assert (r.view().restarts, r.view().spec.incarnation) == (restart, restart)
    assert r.exits() == [(Do.RELEASE, 0)]
    assert (r.view().state, r.view().restarts) == (State.DEAD, 2)
    assert r.look() == []  # the other works on


@pytest.mark.parametrize(
    ("code", "kind"), [(UserError.exit_code, UserError), (EnvironmentFault.exit_code, EnvironmentFault)]
)
def test_a_fault_that_would_come_again_is_no_restart(code: int, kind: type[HarnessError]) -> None:
    """What was never started again must not be reported as restarted."""
    r = Rig()
    r.supervisor.fault(r.view(), Fault("out of memory: take less", exit_code=code), r.now)
    assert r.exits() == [(Do.RELEASE, 0)]
    assert (r.view().state, r.view().restarts, r.view().fault) == (State.DEAD, 0, "out of memory: take less")
    with pytest.raises(kind, match="out of memory: take less"):
        r.look()


def test_a_fault_of_the_engine_is_one_and_its_reason_stays() -> None:
    r = Rig(2)
    r.ready()
    r.ready(1)
    r.supervisor.fault(r.view(), Fault("CUDA error: illegal address"), r.now)
    assert r.view().state is State.LOST
    assert r.exits(reason="exited with status 1") == [(Do.RELEASE, 0), (Do.START, 0)]
    assert r.view().fault == "CUDA error: illegal address"
    r.ready()
    assert r.view().fault == ""


def test_an_earlier_incarnations_end_is_old_news() -> None:
    r = Rig()
    r.exits()
    r.supervisor.exited(0, 0, "killed by SIGKILL", r.now)
    assert r.supervisor.actions() == [] and r.view().restarts == 1


def test_a_silent_worker_is_killed_and_then_started_again() -> None:
    r = Rig()
    r.ready()
    assert r.look(14.9) == []
    assert r.look(0.2) == [(Do.RELEASE, 0), (Do.KILL, 0)]
    assert r.view().fault == "no heartbeat for 15 s"
    assert r.look(5.0) == []  # it has been killed: now its end is waited for
    assert r.exits(reason="killed by SIGKILL") == [(Do.START, 0)]


def test_nobody_expects_a_heartbeat_before_the_first_word() -> None:
    r = Rig()
    r.placed()
    assert r.look(99.0) == []
    assert r.look(2.0) == [(Do.RELEASE, 0), (Do.KILL, 0)]
    assert r.view().fault == "was not ready within 100 s"


def test_an_engine_that_hangs_while_its_process_beats() -> None:
    r = Rig()
    r.ready()
    for _ in range(7):
        r.beat(running=3, progress=17)
        assert r.look(10.0) == []
    r.beat(running=3, progress=17)
    assert r.look(10.0) == [(Do.RELEASE, 0), (Do.KILL, 0)]
    assert "made no progress for 70 s" in r.view().fault


def test_steps_and_idleness_are_no_stall() -> None:
    r = Rig()
    r.ready()
    for step in range(30):
        r.beat(running=3, progress=step)
        assert r.look(10.0, holding={0}) == []
    for _ in range(30):
        r.beat()
        assert r.look(10.0) == []


def test_samples_that_a_worker_has_never_heard_of_come_back() -> None:
    r = Rig()
    r.ready()
    r.look()
    for _ in range(2):
        r.beat()
        assert r.look(7.0, holding={0}) == []
    r.beat()
    assert r.look(7.0, holding={0}) == [(Do.RELEASE, 0), (Do.KILL, 0)]
    assert "its connection broke" in r.view().fault


def test_nonsense_on_the_wire_is_the_end_of_a_worker() -> None:
    r = Rig()
    r.ready()
    r.supervisor.nonsense(r.view(), r.now)
    assert [a.do for a in r.supervisor.actions()] == [Do.RELEASE, Do.KILL]


def test_a_worker_that_reports_its_fault_and_does_not_end_is_killed() -> None:
    """Its engine's close() may block in a driver, and its device is wanted."""
    r = Rig(2)
    r.ready(1)
    r.supervisor.fault(r.view(), Fault("CUDA error"), r.now)
    assert r.look() == [(Do.RELEASE, 0)]
    r.beat(1)
    assert r.look(9.0) == []
    r.beat(1)
    assert r.look(2.0) == [(Do.KILL, 0)]
    assert r.exits() == [(Do.START, 0)]
    assert r.view().restarts == 1


def test_a_process_that_cannot_be_killed_is_named_and_given_up() -> None:
    r = Rig()
    r.ready()
    assert r.look(16.0) == [(Do.RELEASE, 0), (Do.KILL, 0)]
    assert r.look(19.0) == []
    with pytest.raises(RunError, match=r"process 100 of worker 0 on here cannot be killed"):
        r.look(2.0)
    assert (r.view().state, r.view().restarts) == (State.DEAD, 0)


def test_a_place_is_waited_for_as_long_as_others_work() -> None:
    r = Rig(2)
    r.ready()
    r.placed(1, None)
    assert r.supervisor.gone(r.now) == 0
    for _ in range(10):
        r.beat()
        assert r.look(10.0) == []
    assert r.view(1).state is State.UNPLACED and r.supervisor.gone(r.now) == 1
    r.placed(1, "node-2")
    assert r.supervisor.gone(r.now) == 0
    assert (r.view(1).state, r.view(1).started) == (State.STARTING, r.now)  # its time to load begins now


def test_nowhere_to_go_ends_the_run() -> None:
    r = Rig(2)
    r.placed(0, None)
    r.placed(1, None)
    assert r.look(29.0) == []
    with pytest.raises(EnvironmentFault, match="no node has room for it"):
        r.look(2.0)


def test_a_start_that_the_machine_refuses_is_tried_again_later() -> None:
    r = Rig()
    r.supervisor.start_failed(0, "Too many open files", r.now)
    assert r.look() == [(Do.RELEASE, 0)]
    assert r.look(0.9) == []
    assert r.look(0.2) == [(Do.START, 0)]
    r.supervisor.start_failed(0, "Too many open files", r.now)
    assert r.look(1.5) == [(Do.RELEASE, 0)]
    assert r.look(1.0) == [(Do.START, 0)]
    r.supervisor.start_failed(0, "Too many open files", r.now)
    with pytest.raises(EnvironmentFault, match="could not be started: Too many open files"):
        r.look()


def test_what_broke_after_it_had_served_is_no_fault_of_the_environment() -> None:
    r = Rig(options=SupervisorOptions(max_restarts=0))
    r.ready()
    r.exits(reason="killed by SIGKILL")
    with pytest.raises(RunError, match="no worker is left: killed by SIGKILL"):
        r.look()


def test_the_tokens_of_a_worker_outlive_its_process() -> None:
    r = Rig()
    r.ready()
    view = r.view()
    r.supervisor.heartbeat(view, Heartbeat(state="ready", tokens=100))
    assert (view.made, view.counted) == (100, 100)
    view.tokens = 130  # completed since that beat
    assert view.made == 130
    r.exits()
    assert (view.made, view.counted) == (130, 130)
    r.supervisor.heartbeat(view, Heartbeat(state="ready", tokens=20))
    assert view.made == 150
    view.new_test()
    assert view.made == 0
    r.supervisor.heartbeat(view, Heartbeat(state="ready", tokens=25))
    assert view.made == 5


def test_our_own_absence_is_nobodys_silence() -> None:
    """A paused container: twenty seconds in which neither we nor anybody else said anything."""
    readings = iter([0.0, 0.25, 0.5, 20.5, 20.75])
    clock = AwakeClock(longest_step_s=0.5, clock=lambda: next(readings))
    assert [clock.now() for _ in range(4)] == [0.25, 0.5, 1.0, 1.25]
    assert clock.away_s == 19.5
