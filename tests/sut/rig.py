"""A hub with real worker processes, the real wire and a counter in LoadGen's place."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sut.dispatcher import Dispatcher
from sut.hub import Hub
from sut.messages import EngineSettings, WorkerSpec
from sut.policies import make_order, make_policy
from sut.supervisor import SupervisorOptions
from sut.workers.local import LocalPool


def make_dispatcher(*, offline: bool) -> Dispatcher:
    return Dispatcher(
        policy=make_policy("auto", offline=offline, backlog=8, prefill_weight=8.0),
        order=make_order("issue"),
        block=64,
        max_attempts=4,
        first_tokens=not offline,
    )


class Rig:
    """A hub with null workers, and what it reported."""

    def __init__(
        self,
        tmp_path: Path,
        *,
        workers: int,
        offline: bool = False,
        options: SupervisorOptions | None = None,
        engine: str = "null",
        heartbeat_s: float = 0.2,
        **args: Any,
    ) -> None:
        self.first: dict[int, int] = {}
        self.done: dict[int, int] = {}
        self.order: list[str] = []
        self.prompts = [np.arange(1 + i, 21 + i, dtype=np.int32).tobytes() for i in range(64)]
        self.pool = LocalPool()
        dispatcher = make_dispatcher(offline=offline)
        settings = EngineSettings(name=engine, model="", first_tokens=not offline, args=args)
        specs = [
            WorkerSpec(
                id=i,
                endpoint="",
                engine=settings,
                log_file=str(tmp_path / f"w{i}.log"),
                heartbeat_s=heartbeat_s,
                warm_up_lengths=[8],
            )
            for i in range(workers)
        ]
        self.hub = Hub(
            dispatcher=dispatcher,
            pool=self.pool,
            specs=specs,
            prompts=self.prompts.__getitem__,
            deliver=self.deliver,
            options=options or SupervisorOptions(heartbeat_timeout_s=2.0),
            bind=f"ipc://{tmp_path}/wire",
        )
        self.hub.start()

    def deliver(self, first: list[tuple[int, bytes]], done: list[tuple[int, bytes]]) -> None:
        for sample, tokens in first:
            assert len(tokens) == 4 and sample not in self.done
            self.first[sample] = self.first.get(sample, 0) + 1
        for sample, _ in done:
            self.done[sample] = self.done.get(sample, 0) + 1

    def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if self.hub.failure:
                raise self.hub.failure
            assert time.monotonic() < deadline, self.hub.missing()
            time.sleep(0.01)

    def start(self) -> None:
        self.until(lambda: self.hub.ready == len(self.hub.workers))

    def issue(self, count: int, *, first: int = 0) -> None:
        self.hub.issue([(i, i % 64) for i in range(first, first + count)])

    def close(self) -> None:
        self.hub.stop()
        self.pool.close(2.0)


def assert_complete(rig: Rig, count: int, *, first: bool = True) -> None:
    assert rig.done == dict.fromkeys(range(count), 1)
    assert rig.first == (dict.fromkeys(range(count), 1) if first else {})
    d = rig.hub.dispatcher
    assert d.issued == d.completed == count and not d.outstanding
