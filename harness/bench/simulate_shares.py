"""The same machine room behind several dispatching processes (``dispatch.processes``): the real ledger and its portions
before as many real dispatchers. Node by node the GPUs belong to the shares in turn.

The process with LoadGen needs ``front_us`` of one thread for each sample, each share ``hub_us`` of its own.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.bench.simulate import DATA_SET, TOKENS, Room, Simulation
from sut.checks import CLEAN
from sut.dispatcher import Dispatcher
from sut.front.ledger import Ledger
from sut.front.messages import LOT, LOT_S
from sut.front.part import SPEED_WINDOW_S
from sut.front.split import portions
from sut.messages import Completion
from sut.pace import TURN_S
from sut.policies import Sample, make_order, make_policy

FRONT_US = 2.3  # measured: docs/scaling.md
LOCAL_S = 100e-6  # from one process of the machine to another


@dataclass(eq=False)
class _Share:
    dispatcher: Dispatcher
    room: int
    free: float = 0.0
    busy_s: float = 0.0
    lot: list[int] = field(default_factory=list)
    done: int = 0

    def work(self, now: float, seconds: float) -> None:
        self.free = max(now, self.free) + seconds
        self.busy_s += seconds


class SharedSimulation(Simulation):
    """``shares``: dispatching processes, each with a node at least: no more than those are simulated."""

    def __init__(self, room: Room, *, shares: int, front_us: float = FRONT_US) -> None:
        super().__init__(room)
        self._front_us = front_us
        self._shares = [_Share(self._dispatcher(), 0) for _ in range(min(shares, room.nodes))]
        order = make_order(room.order) if room.order != "issue" else None
        self._ledger = Ledger(first_tokens=False, lengths=self.sizes.tolist(), order=order, block=DATA_SET)
        self._front_free = self._front_busy_s = 0.0
        self._turns, self._turn_due = 0, False
        for gpu in self.gpus:
            share = self._of(gpu.id)
            share.dispatcher.worker_ready(gpu.id, capacity=room.capacity, now_ns=0)
            share.room += room.capacity + room.backlog

    def _dispatcher(self) -> Dispatcher:
        return Dispatcher(
            policy=make_policy(self.room.policy, offline=True, backlog=self.room.backlog, prefill_weight=8.0),
            order=make_order("issue"),
            block=DATA_SET,
            max_attempts=4,
            first_tokens=False,
        )

    def _of(self, gpu: int) -> _Share:
        return self._shares[gpu // self.room.gpus % len(self._shares)]

    def run(self) -> dict[str, Any]:
        began = time.perf_counter()
        rounds = self.count // DATA_SET
        order = np.concatenate([np.random.default_rng(i).permutation(DATA_SET) for i in range(rounds)])
        self._ledger.issue(np.arange(self.count), order, np.zeros(self.count, np.int64))
        self._later(0.0, "turn", 0, None)
        self._turn_due = True
        now = self._go()
        if self._ledger.completed != self.count:
            raise RuntimeError(f"{self._ledger.completed} of {self.count} samples came back")
        figures = self._figures(max(now, self._front_free), time.perf_counter() - began)
        end = figures["seconds"]
        figures["shares"] = len(self._shares)
        figures["front_us"] = self._front_us
        figures["hub_busy_fraction"] = self._front_busy_s / end
        figures["share_busy_fraction"] = max(share.busy_s for share in self._shares) / end
        return figures

    # -- the process with LoadGen ----------------------------------------------------------------------------------

    def _work_of_front(self, now: float, samples: int) -> None:
        seconds = samples * self._front_us / 2e6
        self._front_free = max(now, self._front_free) + seconds
        self._front_busy_s += seconds

    def _turn(self, now: float, number: int, what: None) -> None:
        self._turn_due = False
        ledger, shares = self._ledger, self._shares
        self._turns += 1
        rates = [s.done / (s.room * now) if now > SPEED_WINDOW_S else 0.0 for s in shares]
        rooms = [s.room for s in shares]
        moved = False
        held = ledger.held[: len(shares)]
        for which, count in enumerate(portions(ledger.waiting, held, rooms, rates, turn=self._turns)):
            if count:
                moved = True
                numbers = ledger.give(which, count)
                self._work_of_front(now, count)
                index = ledger.column("index", numbers).tolist()
                samples = list(zip(numbers.tolist(), index, self.sizes[index].tolist(), strict=True))
                self._later(self._front_free + LOCAL_S, "given", which, samples)
        if moved:
            self._next_turn(max(now + TURN_S, self._front_free))

    def _next_turn(self, at: float) -> None:
        if not self._turn_due and self._ledger.waiting:
            self._turn_due = True
            self._later(at, "turn", 0, None)

    def _told(self, now: float, number: int, done: list[int]) -> None:
        self._work_of_front(now, len(done))
        self._ledger.complete(number, np.array(done, np.int64))
        self._next_turn(max(now + TURN_S, self._front_free))

    # -- a share ---------------------------------------------------------------------------------------------------

    def _given(self, now: float, number: int, samples: list[tuple[int, int, int]]) -> None:
        share = self._shares[number]
        share.dispatcher.issue([Sample(i, index, length, 0) for i, index, length in samples])
        self._share_hands_out(share, now)

    def _share_hands_out(self, share: _Share, now: float) -> None:
        for worker, samples in share.dispatcher.assignments(int(now * 1e9)):
            share.work(now, len(samples) * self.room.hub_us / 2e6)
            self._later(share.free + self.room.latency_us / 1e6, "arrive", worker, [(s.id, s.length) for s in samples])

    def _hub(self, now: float, number: int, done: list[int]) -> None:
        share = self._of(number)
        which = self._shares.index(share)
        share.work(now, len(done) * self.room.hub_us / 2e6)
        ns = int(share.free * 1e9)
        for sample in done:
            share.dispatcher.complete(number, Completion(sample, TOKENS), ns, CLEAN)
        if not share.lot:
            self._later(share.free + LOT_S, "lot", which, None)
        share.lot += done
        share.done += len(done)
        if len(share.lot) >= LOT or not share.dispatcher.outstanding:
            self._lot(share.free, which, None)
        self._share_hands_out(share, share.free)

    def _lot(self, now: float, number: int, what: None) -> None:
        share = self._shares[number]
        if share.lot:
            self._later(now + LOCAL_S, "told", number, share.lot)
            share.lot = []
