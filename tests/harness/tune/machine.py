"""Engines in virtual time whose steps are not the tuner's: noise, drift, steps padded to CUDA graphs, one step late.

A probe of a minute takes a tenth of a second. What full-length runs of the same engine say is the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from harness.config import Scenario
from harness.rounds import ROUND
from harness.rundir.tuning import Capacity, Found, Probe
from harness.tune.by_model import ModelSearch
from harness.tune.correction import History
from harness.tune.long_runs import Mapper, Setting, limits
from harness.tune.model import THOROUGH, Engines, Load
from harness.tune.playback import Engine, Floats, Ints, Player
from harness.tune.probe import LATENCIES
from harness.tune.search import Search, clean, queueing_ceiling
from harness.tune.state import Options
from harness.tune.traffic import balanced_order
from harness.tune.verdict import Window, full_length_share
from qsl.synthetic import lengths
from sut.engines.vllm_planning import padding
from sut.steps import Regression, StepSums
from tests.harness.tune.virtual import probe_of

SIZES = lengths(13_368, seed=0)
WARM_S = 300.0  # when a confirmation begins
GRAPHS = tuple(range(64, 2049, 64))  # tokens of captured steps


@dataclass(frozen=True, kw_only=True)
class Card(Player):
    """A player whose steps take what a card's do.

    ``noise``: standard deviation of a step, relative. ``drift``: how much slower it is when warm, after some times
    ``drift_s``; ``age_s``: how long it has worked. ``beyond_ms``: what a step larger than any graph takes more.
    ``bend``: ms for the square of 1,000 prompt tokens in a step (attention)."""

    noise: float = 0.0
    drift: float = 0.0
    drift_s: float = 120.0
    age_s: float = 0.0
    beyond_ms: float = 0.0
    bend: float = 0.0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    def step_ms(self, *, decoding: int, prompt_tokens: int, now_ms: float) -> float:
        usual = super().step_ms(decoding=decoding, prompt_tokens=prompt_tokens, now_ms=now_ms)
        beyond = self.beyond_ms if self.graphs and decoding + prompt_tokens > self.graphs[-1] else 0.0
        usual += self.pace * (beyond + self.bend * (prompt_tokens / 1e3) ** 2)
        warm = 1 + self.drift * (1 - np.exp(-(self.age_s + now_ms / 1e3) / self.drift_s)) if self.drift else 1.0
        noisy = max(1 + self.noise * self.rng.standard_normal(), 0.5) if self.noise else 1.0
        return float(usual * warm * noisy)


@dataclass(kw_only=True)
class Machine:
    """One card in service of a tuner; ``now_s``: what it has worked. Gives :class:`harness.tune.by_model.Source`."""

    card: Card
    scenario: Scenario
    seed: int = 0
    late: bool = False  # a query joins one step late, as with asynchronous scheduling
    samples: int = len(SIZES)  # of a round
    slow: float = 1.0  # every limit so many times as long as the scenario's, for a card that is as many times slower
    run: Mapper = map
    now_s: float = 0.0
    judged: tuple[int, int] = (0, 0)
    regression: Regression = field(default_factory=Regression)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng([self.seed, 3])
        self.order = balanced_order(SIZES, self.rng)
        self.outputs = np.full(64, self.card.output_tokens)
        self.parts: list[tuple[Floats, Ints, Floats, Floats]] = []

    @property
    def limits_ns(self) -> tuple[int, int]:
        ttft, tpot = ROUND.limits_ns[self.scenario]
        return int(ttft * self.slow), int(tpot * self.slow)

    def serve(self, arrival_ms: Floats, sizes: Ints) -> tuple[Floats, Floats]:
        """First and last tokens, ms, of prompts of ``sizes`` that arrive at ``arrival_ms`` from now on."""
        count = len(arrival_ms)
        first, done = np.zeros(count), np.zeros(count)
        began = 1e3 * self.now_s
        left_list, outputs = sizes.astype(int).tolist(), [self.card.output_tokens] * count
        due, arrived, finished = (began + arrival_ms).tolist(), 0, 0
        engine = Engine(self.card, due=due, lengths=left_list, outputs=outputs, first=first, done=done)
        engine.now = began
        coming: list[int] = []
        while finished < count:
            ready, coming = coming if self.late else [], []
            while arrived < count and due[arrived] <= engine.now:
                coming.append(arrived)
                arrived += 1
            engine.waiting.extend(ready if self.late else coming)
            if not engine.busy:
                if not coming:
                    engine.now = max(due[arrived], engine.now)
                    continue
                engine.waiting.extend(coming)
                coming = []
            before, decoding = engine.now, engine.decoding
            finished += len(engine.step()[1])
            self._record(engine.now - before, decoding=decoding, read=engine.read)
        self.now_s = engine.now / 1e3
        return first - began, done - began

    def _record(self, ms: float, *, decoding: int, read: int) -> None:
        """As :mod:`sut.engines.vllm_steps` does."""
        tokens = decoding + read
        self.regression.add(ms, decoding=decoding, prompt_tokens=read, padding=padding(tokens, self.card.graphs))

    def _sizes(self, count: int) -> Ints:
        return np.array([SIZES[next(self.order)] for _ in range(count)], dtype=np.int32)

    def capacity(self, *, seconds: float = 40.0) -> Capacity:
        """The engine kept full, as :meth:`harness.tune.probe.Prober.closed_loop` measures it."""
        full = int(1.25 * self.card.max_num_seqs) + 1
        count = full + int(65 * (seconds / self.slow + 5))
        began = self.now_s
        _, done = self.serve(np.zeros(count), self._sizes(count))
        done = np.sort(done)
        middle = done[full : -self.card.max_num_seqs]
        rate = (len(middle) - 1) / (middle[-1] - middle[0]) * 1e3
        return Capacity(samples_per_second=float(rate), outstanding=full, samples=count, duration_s=self.now_s - began)

    def at_rate(self, rate: float, *, seconds: float, thorough: bool = False) -> Probe:
        """As :meth:`harness.tune.probe.Prober.at_rate`, never ended early."""
        rng, began = self.rng, self.now_s
        latency = self._latency
        seconds = min(max(seconds, LATENCIES * latency), 2 * seconds)
        ramp, tail = (rng.exponential(1 / rate, int(n * latency * rate) + 50).cumsum() for n in (2, 1))
        inner = np.sort(rng.uniform(0, seconds, round(rate * seconds)))
        opened = float(ramp[-1])
        arrival = np.concatenate([ramp, opened + inner, opened + seconds + tail])
        sizes = self._sizes(len(arrival))
        offset, known = 1e3 * self.now_s, sum(len(part[0]) for part in self.parts)
        first, done = self.serve(1e3 * arrival, sizes)
        self.parts.append((offset + 1e3 * arrival, sizes, offset + first, offset + done))
        inside = slice(len(ramp), len(ramp) + len(inner))
        self.judged = (known + inside.start, known + inside.stop)
        ns = [(1e6 * column[inside]).astype(np.int64) for column in (1e3 * arrival, first, done)]
        tokens = np.full(len(inner), self.card.output_tokens)
        window = Window(scheduled=ns[0], first=ns[1], complete=ns[2], tokens=tokens)
        self._seen = float(np.median(window.complete - window.first)) / 1e9
        took = self.now_s - began
        return probe_of(window, rate=rate, limits=self.limits_ns, opened_s=opened, window_s=seconds, duration_s=took)

    _seen = 0.0

    @property
    def _latency(self) -> float:
        return self._seen or 3.0 * self.slow

    def history(self) -> History:
        columns = zip(*self.parts, strict=True) if self.parts else [[np.empty(0)]] * 4
        issue, sizes, first, done = (np.concatenate(list(parts)) for parts in columns)
        return History(
            ids=np.arange(len(issue)),
            issue_ms=issue,
            lengths=sizes.astype(np.int64),
            outputs=np.full(len(issue), self.card.output_tokens),
            worker=np.zeros(len(issue), dtype=np.int64),
            first_ms=first,
            done_ms=done,
        )

    def step_sums(self) -> StepSums:
        return self.regression.sums + StepSums()

    # -- the two tuners and the truth ------------------------------------------------------------------------------

    @cached_property
    def load(self) -> Load:
        ttft, tpot = self.limits_ns
        return Load(lengths=SIZES, limits_ms=(ttft / 1e6, tpot / 1e6), samples=self.samples)

    def by_model(self, options: Options, *, seeds: range = THOROUGH) -> Found:
        """The search through the steps."""
        found = Found(capacity=self.capacity(seconds=2 * options.probe_seconds))
        engines = Engines(
            max_num_seqs=self.card.max_num_seqs,
            max_num_batched_tokens=self.card.max_num_batched_tokens,
            held_ms=self.card.held_ms,
            late_after_ms=self.card.late_after_ms,
            graphs=self.card.graphs,
            prefill_schedule_interval=self.card.prefill_schedule_interval,
        )
        search = ModelSearch(
            source=self,
            load=self.load,
            engines=engines,
            options=options,
            found=found,
            full=self.step_sums(),
            run=self.run,
            seeds=seeds,
        )
        assert search.go()
        return found

    def by_headroom(self, options: Options) -> Search:
        """The search without steps."""
        capacity = self.capacity(seconds=2 * options.probe_seconds).samples_per_second
        share = full_length_share(capacity)
        ceiling = queueing_ceiling(capacity, ttft_limit_s=self.limits_ns[0] / 1e9, share=share)
        search = Search(
            capacity=capacity, ceiling=clean(ceiling), tolerance=options.tolerance, max_probes=options.max_probes
        )
        while (ask := search.next()) is not None:
            search.add(self.at_rate(ask.rate, seconds=ask.lengthen * options.probe_seconds))
        return search

    def truth(self, *, guess: float, seeds: range, run: Mapper = map) -> npt.NDArray[np.float64]:
        """Rates up to which full-length runs hold, one for each arrival seed, [seeds]; the card is warm."""
        from dataclasses import replace

        ttft, tpot = self.load.limits_ms
        system = Setting(
            players=(replace(self.card, age_s=WARM_S),),
            lengths=SIZES,
            outputs=np.array([self.card.output_tokens], dtype=np.int32),
            limits_ms=(ttft, tpot),
            samples=self.samples,
        )
        return np.array([limit.rate for limit in limits(system, guess=guess, seeds=seeds, run=run)])
