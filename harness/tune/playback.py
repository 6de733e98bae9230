"""A run of full length played through an engine's step times: what 600 s at a rate would do to its latencies.

A probe of 20 s meets few bursts; a minute of computing plays hours of arrivals. The engine is three numbers
(:mod:`sut.steps`) and its limits; prompts are read in chunks, as vLLM does, running sequences first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sut.steps import StepTimes

FEWEST_PROMPT_TOKENS = 256  # of a step that is held to a length (sut.engines.vllm_steps)
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Player:
    """One engine. ``held_ms``: prompts wait where reading them would make a step longer than that. ``pace``: how many
    times longer than ``times`` its steps take. ``output_tokens``: of an answer whose length is not given."""

    times: StepTimes
    max_num_seqs: int = 512
    max_num_batched_tokens: int = 8192
    output_tokens: int = 128
    held_ms: float | None = None
    pace: float = 1.0

    def prompt_budget(self, decoding: int) -> int:
        """Prompt tokens of a step beside ``decoding`` sequences."""
        budget = self.max_num_batched_tokens - decoding
        if self.held_ms is not None:
            room = int(self.times.prompt_tokens(within_ms=self.held_ms / self.pace, decoding=decoding))
            budget = min(budget, max(room, FEWEST_PROMPT_TOKENS))
        return budget

    def step_ms(self, *, decoding: int, prompt_tokens: int, now_ms: float) -> float:
        """What a step takes that begins at ``now_ms``."""
        times = self.times
        return self.pace * (times.a_ms + (times.c_us * decoding + times.p_us * prompt_tokens) / 1e3)


class Engine:
    """A player at work. Queries are numbers from 0; what is in it moves on with :meth:`step`.

    ``first`` and ``done``: ms, written when they happen.
    """

    def __init__(self, player: Player, *, lengths: list[int], outputs: list[int], first: Floats, done: Floats) -> None:
        self.player = player
        self.now = 0.0
        self.waiting: deque[int] = deque()
        self.decoding = 0
        self._left, self._more = lengths, outputs
        self._first, self._done = first, done
        times = player.times
        numbers = (times.a_ms, times.c_us / 1e3, times.p_us / 1e3)
        self._straight = tuple(player.pace * n for n in numbers) if type(player) is Player else None
        self._ending: dict[int, list[int]] = {}  # number of a step -> who ends with it
        self._step = 0

    @property
    def busy(self) -> bool:
        return bool(self.decoding or self.waiting)

    def step(self) -> tuple[list[int], list[int]]:
        """Do a step. Returns who got the first token with it, and who the last."""
        player, left, waiting, decoding = self.player, self._left, self.waiting, self.decoding
        whole: list[int] = []
        read = 0
        if waiting:
            budget, free = player.prompt_budget(decoding), player.max_num_seqs - decoding
            while waiting and budget > 0 and free > 0:
                query = waiting[0]
                take = min(budget, left[query])
                left[query] -= take
                budget, read = budget - take, read + take
                if left[query]:
                    break
                whole.append(waiting.popleft())
                free -= 1
        self._step += 1
        if self._straight is not None:  # a method's call would be a third of a step
            a, c, p = self._straight
            self.now += a + c * decoding + p * read
        else:
            self.now += player.step_ms(decoding=decoding, prompt_tokens=read, now_ms=self.now)
        ended = self._ending.pop(self._step, [])
        for query in ended:
            self._done[query] = self.now
        self.decoding += len(whole) - len(ended)
        for query in whole:
            self._first[query] = self.now
            more = self._more[query] - 1
            if more > 0:
                self._ending.setdefault(self._step + more, []).append(query)
            else:
                self._done[query] = self.now
                self.decoding -= 1
                ended.append(query)
        return whole, ended


@dataclass(frozen=True, kw_only=True)
class Played:
    """Latencies of each query in order of arrival, ms, shape [queries] each; ``seconds`` until the last was done."""

    ttft_ms: Floats
    tpot_ms: Floats
    seconds: float


def arrivals(rate: float, *, count: int, seed: int) -> Floats:
    """Times of Poisson arrivals, ms, [count]. The same seed at another rate is the same run, quicker or slower."""
    return np.asarray(np.random.default_rng(seed).exponential(1.0, count).cumsum() * (1e3 / rate))


def play(player: Player, *, arrival_ms: Floats, lengths: Ints, outputs: Ints | None = None) -> Played:
    """Serve prompts of ``lengths`` ([n], tokens) that arrive at ``arrival_ms`` ([n], ascending); ``outputs``: tokens of
    their answers."""
    count = len(arrival_ms)
    due = arrival_ms.tolist()
    first, done = np.zeros(count), np.zeros(count)
    tokens = np.full(count, player.output_tokens) if outputs is None else outputs
    engine = Engine(player, lengths=lengths.tolist(), outputs=tokens.tolist(), first=first, done=done)
    arrived, finished = 0, 0
    waiting = engine.waiting
    while finished < count:
        now = engine.now
        while arrived < count and due[arrived] <= now:
            waiting.append(arrived)
            arrived += 1
        if not engine.decoding and not waiting:
            engine.now = due[arrived]
            continue
        finished += len(engine.step()[1])
    return Played(
        ttft_ms=first - arrival_ms, tpot_ms=(done - first) / np.maximum(tokens - 1, 1), seconds=engine.now / 1e3
    )
