"""The null engine in virtual time: minutes of load in a second, on the engine's own code, free of a machine's noise."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from harness.config import Scenario
from harness.rounds import ROUND
from harness.rundir.tuning import Probe
from harness.tune.probe import steady_rate
from harness.tune.search import Search, clean, queueing_ceiling
from harness.tune.traffic import balanced_order
from harness.tune.verdict import Window, decide, full_length_share, growth, probe_figures
from sut.engines import null
from sut.messages import Completion, EngineSettings, FirstToken, Request

Floats = npt.NDArray[np.float64]


def probe_of(
    window: Window, *, rate: float, limits: tuple[int, int], opened_s: float, window_s: float, duration_s: float
) -> Probe:
    """The verdict of a probe whose judged samples are ``window``, opened at ``opened_s`` of the engine's clock."""
    share = full_length_share(rate)
    ticks = np.arange(opened_s, opened_s + window_s, 0.1) * 1e9
    waiting = np.array([((window.scheduled <= t) & (window.first > t)).sum() for t in ticks], dtype=float)
    figures = probe_figures(window, limits, share)
    valid, reason = decide(figures, growth(ticks / 1e9, waiting, rate), share=share)
    return Probe(
        target_qps=rate,
        achieved_qps=rate,
        samples_per_second=rate,
        valid=valid,
        reason=reason,
        ended="",
        whole=True,
        duration_s=duration_s,
        window_s=window_s,
        allowed_share=share,
        **figures,
    )


class Clock:
    """Stands in for the module ``time`` of the null engine."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass(kw_only=True)
class Virtual:
    """A null engine with ``args`` under the limits of ``scenario``; prompts of 700 tokens in the median."""

    scenario: Scenario
    args: dict[str, Any]
    monkeypatch: pytest.MonkeyPatch
    lengths: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.limits = ROUND.limits_ns[self.scenario]
        drawn = np.random.default_rng(7).lognormal(np.log(700), 0.45, 512)
        self.lengths = np.clip(drawn, 60, 2540).astype(np.int64)
        self._bytes = bytes(4 * 2540)

    def serve(self, arrivals: Floats, indices: Iterator[int]) -> tuple[Floats, Floats]:
        """First-token and completion times, [n], of requests that arrive at ``arrivals``, [n] in s."""
        clock = Clock()
        self.monkeypatch.setattr(null, "time", clock)
        engine = null.NullEngine(EngineSettings(name="null", model="", args=self.args))
        first, complete = np.full(len(arrivals), np.nan), np.full(len(arrivals), np.nan)
        at = 0
        while at < len(arrivals) or engine.outstanding:
            if not engine.outstanding:
                clock.now = max(clock.now, float(arrivals[at]))
            until = int(np.searchsorted(arrivals, clock.now, side="right"))
            engine.submit([Request(i, self._bytes[: 4 * self.lengths[next(indices)]]) for i in range(at, until)])
            at = max(at, until)
            for event in engine.poll(0):
                if type(event) is FirstToken:
                    first[event.id] = clock.now
                elif type(event) is Completion:
                    complete[event.id] = clock.now
        return first, complete

    def window(self, arrivals: Floats, indices: Iterator[int], inside: npt.NDArray[np.bool_]) -> Window:
        first, complete = self.serve(arrivals, indices)
        ns = [(1e9 * column[inside]).astype(np.int64) for column in (arrivals, first, complete)]
        tokens = np.full(int(inside.sum()), int(self.args["output_tokens"]), dtype=np.int64)
        return Window(scheduled=ns[0], first=ns[1], complete=ns[2], tokens=tokens)

    def probe(self, rate: float, *, seconds: float, seed: int) -> Probe:
        """As :meth:`harness.tune.probe.Prober.at_rate` does it: ramp, judged window, tail."""
        rng = np.random.default_rng(seed)
        ramp, tail = (rng.exponential(1 / rate, int(3 * rate)).cumsum() for _ in range(2))
        inner = np.sort(rng.uniform(0, seconds, round(rate * seconds)))
        opened = float(ramp[-1])
        arrivals = np.concatenate([ramp, opened + inner, opened + seconds + tail])
        inside = np.zeros(len(arrivals), dtype=bool)
        inside[len(ramp) : len(ramp) + len(inner)] = True
        window = self.window(arrivals, balanced_order(self.lengths, rng), inside)
        return probe_of(window, rate=rate, limits=self.limits, opened_s=opened, window_s=seconds, duration_s=seconds)

    def full_length_valid(self, rate: float, *, seconds: float = 600.0, seed: int = 99) -> bool:
        """What LoadGen would say: plain Poisson arrivals in plain random order, everything judged."""
        rng = np.random.default_rng(seed)
        arrivals = rng.exponential(1 / rate, int(rate * seconds)).cumsum()
        order = (int(i) for _ in itertools.count() for i in rng.permutation(len(self.lengths)))
        figures = probe_figures(self.window(arrivals, order, np.ones(len(arrivals), dtype=bool)), self.limits, 0.01)
        return bool(figures["early_stopping_met"])

    def capacity(self, *, seconds: float = 20.0) -> float:
        """samples/s of the full engine, as :meth:`harness.tune.probe.Prober.closed_loop` takes it."""
        _, complete = self.serve(np.zeros(int(700 * seconds)), balanced_order(self.lengths, np.random.default_rng(0)))
        opened = np.sort(complete)[int(1.25 * self.args["max_num_seqs"])]
        return steady_rate((1e9 * complete[(complete > opened) & (complete < opened + seconds)]).astype(np.int64))

    def search(self, *, seconds: float, seed: int, capacity: float) -> Search:
        """A whole search; the probes are in it."""
        ceiling = queueing_ceiling(capacity, ttft_limit_s=self.limits[0] / 1e9, share=full_length_share(capacity))
        search = Search(capacity=capacity, ceiling=clean(ceiling))
        while (ask := search.next()) is not None:
            number = len(search.probes)
            search.add(self.probe(ask.rate, seconds=ask.lengthen * seconds, seed=1000 * seed + number))
        return search


def true_knee(engine: Virtual, *, low: float, high: float, width: float = 0.005) -> float:
    """The highest rate that full-length runs call valid, by bisection between a valid and an invalid rate."""
    assert engine.full_length_valid(low)
    assert not engine.full_length_valid(high)
    while high / low - 1 > width:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if engine.full_length_valid(middle) else (low, middle)
    return float((low * high) ** 0.5)
