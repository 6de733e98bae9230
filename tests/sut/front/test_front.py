"""A real front, shares and workers in processes of their own, real signals; the engine is the null one and LoadGen a
counter."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlperf_llama_base.errors import EnvironmentFault, RunError, UserError
from sut.front.front import Front
from sut.front.ledger import Ledger
from sut.front.messages import ShareSpec
from sut.front.part import launcher
from sut.front.rows import Rows
from sut.messages import EngineSettings, WorkerSpec
from sut.supervisor import SupervisorOptions


class Rig:
    def __init__(
        self,
        folder: Path,
        *,
        shares: int = 2,
        workers: int = 4,
        offline: bool = False,
        max_restarts: int = 3,
        **args: Any,
    ) -> None:
        self.first: dict[int, bytes] = {}
        self.done: dict[int, bytes] = {}
        self.twice = 0
        settings = EngineSettings(name="null", model="", first_tokens=not offline, args=args)
        specs = [
            WorkerSpec(id=i, endpoint="", engine=settings, log_file=str(folder / f"w{i}.log"), heartbeat_s=0.2)
            for i in range(workers)
        ]
        setup = {"folder": str(folder), "max_restarts": max_restarts}
        self.front = Front(
            shares=[ShareSpec(number=i, workers=specs[i::shares], setup=setup) for i in range(shares)],
            launch=launcher("tests.sut.front.null_share", folder / "shares.log"),
            ledger=Ledger(first_tokens=not offline),
            deliver=self.deliver,
            options=SupervisorOptions(heartbeat_timeout_s=3.0, start_timeout_s=60.0),
            bind=f"ipc://{folder}/front",
        )
        self.front.start()

    def deliver(self, first: Rows, done: Rows) -> None:
        for number, token in first.batch():
            assert len(token) == 4 and number not in self.done
            self.twice += number in self.first
            self.first[number] = token
        for number, tokens in done.batch():
            self.twice += number in self.done
            self.done[number] = tokens

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if self.front.failure:
                raise self.front.failure
            assert time.monotonic() < deadline, self.front.missing()
            time.sleep(0.01)

    def ready(self) -> None:
        self.until(lambda: self.front.ready == len(self.front.workers))
        self.front.new_test()

    def issue(self, count: int, *, start: int = 0) -> None:
        """Samples with ids that LoadGen could give: addresses."""
        self.front.issue([((1 << 46) + i, i % 64) for i in range(start, start + count)])

    def complete(self, count: int) -> None:
        self.until(lambda: len(self.done) == count)
        assert set(self.done) == {(1 << 46) + i for i in range(count)} and not self.twice
        counts = self.front.counts
        assert (counts.issued, counts.completed, self.front.outstanding) == (count, count, 0)
        assert sorted(self.front.record.column("sample_id").tolist()) == sorted(self.done)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(**named: Any) -> Rig:
        rigs.append(Rig(tmp_path, **named))
        return rigs[-1]

    yield make
    for one in rigs:
        one.front.stop()
        one.front.end(3.0)
    assert not [p for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("offline", [False, True])
def test_every_sample_is_answered_once_and_on_record(rig: Callable[..., Rig], offline: bool) -> None:
    r = rig(offline=offline)
    r.ready()
    r.issue(700)
    r.issue(1, start=700)
    r.complete(701)
    assert len(r.first) == (0 if offline else 701)
    assert all(r.done[number][:4] == token for number, token in r.first.items())
    r.front.catch_up()
    views = r.front.workers
    assert list(views) == [0, 1, 2, 3] and all(view.samples > 0 for view in views.values())
    assert sum(view.samples for view in views.values()) == 701
    assert sum(view.tokens for view in views.values()) == sum(map(len, r.done.values())) // 4
    issue, given, first, end = r.front.record.rows(["issue_ns", "dispatch_ns", "first_token_ns", "complete_ns"])
    assert (issue < given).all() and (given < end).all() and ((first == 0) if offline else (first <= end)).all()
    assert len(r.front.record.answers) == 3 and r.front.engine is not None
    assert not r.front.counts.violations


def test_a_test_that_follows_counts_from_zero(rig: Callable[..., Rig]) -> None:
    r = rig()
    r.ready()
    r.issue(50)
    r.complete(50)
    r.front.new_test()
    assert (r.front.counts.issued, r.front.counts.completed, len(r.front.record)) == (0, 0, 0)
    r.done.clear()
    r.first.clear()
    r.issue(20)
    r.complete(20)
    r.front.catch_up()
    assert sum(view.samples for view in r.front.workers.values()) == 20


def test_somebody_else_may_be_answered_in_loadgens_place(rig: Callable[..., Rig]) -> None:
    r = rig(step_ms=20.0, output_tokens=50)
    r.ready()
    done: list[tuple[int, bytes]] = []
    with r.front.reporting_to(lambda first, some: done.extend(some)):
        r.issue(5)
        r.until(lambda: len(r.front.in_flight()) == 5)
        r.until(lambda: len(done) == 5)
    assert not r.done and {len(tokens) for _, tokens in done} == {200}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("offline", [False, True])
def test_a_share_struck_in_the_middle_costs_no_sample(
    rig: Callable[..., Rig], number: signal.Signals, offline: bool
) -> None:
    r = rig(step_ms=4.0, output_tokens=30, max_num_seqs=4, offline=offline)
    r.ready()
    r.issue(200)
    r.until(lambda: len(r.done) >= 8 and all(view.pid for view in r.front.workers.values()))
    part, ends = r.front.parts[1], [psutil.Process(r.front.workers[i].pid) for i in (1, 3)]
    os.kill(part.process.pid, number)
    r.complete(200)
    front = r.front
    assert front.counts.retried > 0 and front.counts.retried == sum(lost.samples_returned for lost in front.lost)
    assert [lost.worker for lost in front.lost] == [1, 3]
    words = {signal.SIGKILL: "was killed by SIGKILL", signal.SIGSTOP: "said nothing for"}[number]
    assert f"its dispatching process {part.process.pid} {words}" in front.lost[0].reason
    assert (front.dead, front.ready, [front.workers[i].state for i in (1, 3)]) == (2, 2, ["dead", "dead"])
    assert not front.counts.violations  # the same first token from who had the sample next
    r.until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in ends))
    r.front.catch_up()
    assert sum(view.samples for view in front.workers.values()) == 200


def test_when_no_share_is_left_the_run_ends(rig: Callable[..., Rig]) -> None:
    r = rig(step_ms=5.0, max_num_seqs=4)
    r.ready()
    r.issue(500)
    for part in r.front.parts:
        os.kill(part.process.pid, signal.SIGKILL)
    with pytest.raises(RunError, match=r"no worker is left: its dispatching process .* was killed by SIGKILL"):
        r.until(lambda: len(r.done) == 500)


def test_a_share_without_workers_gives_its_samples_to_the_others(rig: Callable[..., Rig]) -> None:
    r = rig(workers=4, fault="exit@5", fault_worker=0, max_restarts=0, step_ms=2.0, max_num_seqs=4)
    r.ready()
    r.issue(300)
    r.until(lambda: r.front.dead == 1)
    os.kill(r.front.workers[2].pid, signal.SIGKILL)  # the other one of share 0
    r.complete(300)
    assert r.front.parts[0].gone and r.front.parts[1].gone is None
    assert sorted(lost.worker for lost in r.front.lost) == [0, 2]


@pytest.mark.parametrize(
    ("args", "kind", "words"),
    [
        ({"max_num_seq": 4}, UserError, "did you mean 'max_num_seqs'"),
        ({"fault": "oom@0"}, EnvironmentFault, "out of memory"),
    ],
)
def test_what_keeps_all_workers_from_starting_is_told_as_by_one_hub(
    rig: Callable[..., Rig], args: dict[str, Any], kind: type[Exception], words: str
) -> None:
    r = rig(**args)
    with pytest.raises(kind, match=words):
        r.until(lambda: False)


def test_a_sample_that_fails_everywhere_ends_the_run(rig: Callable[..., Rig]) -> None:
    r = rig(output_tokens=128, vocab_size=5)  # every output is beyond the vocabulary
    r.ready()
    r.issue(1)
    with pytest.raises(RunError, match="sample 0 of the data set failed 4 times"):
        r.until(lambda: False)
