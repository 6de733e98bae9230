"""A machine room that is not there: the real dispatcher and policies, driven by a discrete-event simulation.

Each GPU is a continuous-batching engine with the arithmetic of the null engine (``sut.engines.null``): a step takes
``step_ms + sequence_us * running / 1000 + prefill_us * prefill_tokens / 1000`` ms. The wire has a latency; the process
with LoadGen serves one message after the other and needs ``hub_us`` of its dispatching thread for each sample, so that
it becomes the limit where it would be one.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.inventory.floors import step_times
from harness.rounds import ROUND
from harness.rundir.names import RESULT
from harness.rundir.result import read_result
from mlperf_llama_base.errors import UserError
from qsl.synthetic import lengths
from sut.checks import CLEAN
from sut.dispatcher import Dispatcher
from sut.messages import Completion
from sut.policies import Sample, make_order, make_policy

HUB_US = 7.2  # measured: docs/scaling.md
DATA_SET = ROUND.benchmarks["datacenter"].samples
TOKENS = np.arange(2, dtype=np.int32).tobytes()  # what is in a completion does not matter to a dispatcher


@dataclass(kw_only=True, frozen=True)
class Room:
    """``slow``: speed of each GPU of the first node against the others. The engine's times make about 60 samples/s."""

    nodes: int = 32
    gpus: int = 8
    slow: float = 1.0
    seconds: float = 60.0
    policy: str = "auto"
    order: str = "issue"
    backlog: int = 128
    capacity: int = 512
    step_ms: float = 6.0
    sequence_us: float = 30.0
    prefill_us: float = 14.0
    batched_tokens: int = 8192
    output_tokens: int = 128
    latency_us: float = 200.0
    hub_us: float = HUB_US


@dataclass(eq=False)
class _Gpu:
    id: int
    factor: float  # how many times longer a step takes
    waiting: deque[tuple[int, int]] = field(default_factory=deque)
    running: int = 0
    step: int = 0
    ends: dict[int, list[int]] = field(default_factory=dict)
    stepping: bool = False
    idle_since: float | None = 0.0
    idle_s: float = 0.0
    done: int = 0


def engine_rate(room: Room, *, mean_length: float) -> float:
    """Samples/s of one full GPU by the same arithmetic, without any dispatcher."""
    admitted = room.capacity / room.output_tokens
    step = room.step_ms + (room.sequence_us * room.capacity + room.prefill_us * admitted * mean_length) / 1e3
    return admitted / step * 1e3


def engine_of(run_dir: Path) -> dict[str, Any]:
    """Fields of :class:`Room` for engines like that of a run with ``engine.args.step_log``: the times of their steps,
    and what they hold. Raises ``UserError`` where the run does not tell."""
    result = read_result(run_dir / RESULT)
    times = step_times(result.engine_live_facts)
    if times is None:
        raise UserError(
            f"{run_dir}: its steps do not tell what one takes; run it with --set engine.args.step_log=true "
            "and a few hundred samples"
        )
    found: dict[str, Any] = {"step_ms": times.a_ms, "sequence_us": times.c_us, "prefill_us": times.p_us}
    if result.engine is not None:
        found["capacity"] = result.engine.capacity
        if tokens := result.engine.facts.get("max_num_batched_tokens"):
            found["batched_tokens"] = int(tokens)
    return found


def at_rate(room: Room, rate: float) -> Room:
    """The same room with GPUs that do ``rate`` samples/s each when full: all three times of a step in proportion."""
    factor = engine_rate(room, mean_length=float(lengths(DATA_SET, seed=0).mean())) / rate
    return replace(
        room,
        step_ms=room.step_ms * factor,
        sequence_us=room.sequence_us * factor,
        prefill_us=room.prefill_us * factor,
    )


class Simulation:
    """One Offline test. All times in s of simulated time."""

    def __init__(self, room: Room) -> None:
        if room.nodes < 1 or room.gpus < 1 or room.seconds <= 0:
            raise UserError("a simulation needs at least one node, one GPU and some seconds")
        self.room = room
        self.gpus = [_Gpu(i, 1 / room.slow if i < room.gpus else 1.0) for i in range(room.nodes * room.gpus)]
        self.sizes = lengths(DATA_SET, seed=0)
        rate = engine_rate(room, mean_length=float(self.sizes.mean())) * sum(1 / g.factor for g in self.gpus)
        self.count = max(1, round(rate * room.seconds / DATA_SET)) * DATA_SET
        self.dispatcher = Dispatcher(
            policy=make_policy(room.policy, offline=True, backlog=room.backlog, prefill_weight=8.0),
            order=make_order(room.order),
            block=DATA_SET,
            max_attempts=4,
            first_tokens=False,
        )
        self._events: list[tuple[float, int, str, int, Any]] = []
        self._number = itertools.count()
        self._hub_free = 0.0
        self.hub_busy_s = 0.0

    def run(self) -> dict[str, Any]:
        """Simulate to the last completion. Returns the figures."""
        began = time.perf_counter()
        dispatcher = self.dispatcher
        for gpu in self.gpus:
            dispatcher.worker_ready(gpu.id, capacity=self.room.capacity, now_ns=0)
        order = np.concatenate([np.random.default_rng(i).permutation(DATA_SET) for i in range(self.count // DATA_SET)])
        sizes = self.sizes[order].tolist()
        dispatcher.issue([Sample(i, int(index), sizes[i], 0) for i, index in enumerate(order.tolist())])
        self._hand_out(0.0)
        now = self._go()
        if dispatcher.completed != self.count:
            raise RuntimeError(f"{dispatcher.completed} of {self.count} samples came back")
        return self._figures(max(now, self._hub_free), time.perf_counter() - began)

    def _go(self) -> float:
        """To the last event. Returns when that was."""
        now = 0.0
        while self._events:
            now, _, kind, number, what = heapq.heappop(self._events)
            getattr(self, f"_{kind}")(now, number, what)
        return now

    def _later(self, at: float, kind: str, number: int, what: Any) -> None:
        heapq.heappush(self._events, (at, next(self._number), kind, number, what))

    def _hand_out(self, now: float) -> None:
        for worker, samples in self.dispatcher.assignments(int(now * 1e9)):
            self._hub_free += len(samples) * self.room.hub_us / 2e6
            self.hub_busy_s += len(samples) * self.room.hub_us / 2e6
            at = max(now, self._hub_free) + self.room.latency_us / 1e6
            self._later(at, "arrive", worker, [(s.id, s.length) for s in samples])

    def _hub(self, now: float, number: int, done: list[int]) -> None:
        """The process with LoadGen takes a worker's report, and gives out what there is room for."""
        cost = len(done) * self.room.hub_us / 2e6
        self._hub_free = max(now, self._hub_free) + cost
        self.hub_busy_s += cost
        ns = int(self._hub_free * 1e9)
        for sample in done:
            self.dispatcher.complete(number, Completion(sample, TOKENS), ns, CLEAN)
        self._hand_out(self._hub_free)

    def _arrive(self, now: float, number: int, samples: Iterable[tuple[int, int]]) -> None:
        gpu = self.gpus[number]
        gpu.waiting.extend(samples)
        if not gpu.stepping:
            self._begin(gpu, now)

    def _begin(self, gpu: _Gpu, now: float) -> None:
        """Start a step, as the null engine does: admit, then so much time for what runs and is read."""
        room = self.room
        if gpu.idle_since is not None:
            gpu.idle_s += now - gpu.idle_since
            gpu.idle_since = None
        budget, prefill = room.batched_tokens - gpu.running, 0
        admitted: list[int] = []
        while gpu.waiting and gpu.running < room.capacity:
            length = gpu.waiting[0][1]
            if admitted and prefill + length > budget:
                break
            prefill += length
            admitted.append(gpu.waiting.popleft()[0])
            gpu.running += 1
        gpu.step += 1
        gpu.ends.setdefault(gpu.step + room.output_tokens - 1, []).extend(admitted)
        ms = room.step_ms + (room.sequence_us * gpu.running + room.prefill_us * prefill) / 1e3
        gpu.stepping = True
        self._later(now + ms * gpu.factor / 1e3, "step", gpu.id, None)

    def _step(self, now: float, number: int, what: None) -> None:
        gpu = self.gpus[number]
        done = gpu.ends.pop(gpu.step, [])
        gpu.running -= len(done)
        gpu.done += len(done)
        if done:
            self._later(now + self.room.latency_us / 1e6, "hub", number, done)
        if gpu.running or gpu.waiting:
            self._begin(gpu, now)
        else:
            gpu.stepping, gpu.idle_since = False, now

    def _figures(self, end: float, took: float) -> dict[str, Any]:
        idle = [g.idle_s + (end - g.idle_since if g.idle_since is not None else 0.0) for g in self.gpus]
        speed = sum(1 / g.factor for g in self.gpus)
        alone = engine_rate(self.room, mean_length=float(self.sizes.mean())) * speed
        return {
            "room": asdict(self.room),
            "gpus": len(self.gpus),
            "samples": self.count,
            "seconds": end,
            "samples_per_second": self.count / end,
            "of_engines": self.count / end / alone,
            "idle_fraction": sum(idle) / (end * len(idle)),
            "idle_fraction_worst": max(idle) / end,
            "idle_s_mean": sum(idle) / len(idle),
            "hub_busy_fraction": self.hub_busy_s / end,
            "dispatcher_us_per_sample": took / self.count * 1e6,
        }


def line(figures: dict[str, Any]) -> str:
    """One simulation for people."""
    return (
        f"{figures['gpus']:>5} GPUs {figures['samples_per_second']:>9.0f} samples/s  "
        f"{figures['of_engines']:7.2%} of the engines alone  idle {figures['idle_fraction']:.2%} "
        f"(worst GPU {figures['idle_fraction_worst']:.2%})  LoadGen process busy {figures['hub_busy_fraction']:.1%}  "
        + (f"each of {figures['shares']} shares {figures['share_busy_fraction']:.1%}  " if "shares" in figures else "")
        + f"dispatcher {figures['dispatcher_us_per_sample']:.1f} us/sample with the simulation"
    )
