"""A run of full length played through an engine's step times: what 600 s at a rate would do to its latencies.

A probe of 20 s meets few bursts; a minute of computing plays hours of arrivals. The engine is three numbers
(:mod:`sut.steps`) and its limits; prompts are read in chunks, as vLLM does, running sequences first. Where they are
known, it also has the sizes of its CUDA graphs, what launching a step takes its host, and prompts that are late last.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sut.engines.vllm_planning import held_budget, padding, prompts_rest, prompts_within
from sut.steps import StepTimes

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Player:
    """One engine. ``held_ms``: prompts wait where reading them would make a step longer than that; ``late_after_ms``:
    one that has waited longer waits until no other does. ``graphs``: tokens of its CUDA graphs, ascending: a step is
    padded to the next one, and a padded token takes as long as a prompt's. ``launch_ms``: what a step that reads
    prompts takes at least. ``prefill_schedule_interval``: one step of so many reads prompts. ``pace``: how many times
    longer than all this its steps take. ``output_tokens``: of an answer whose length is not given."""

    times: StepTimes
    max_num_seqs: int = 512
    max_num_batched_tokens: int = 8192
    output_tokens: int = 128
    held_ms: float | None = None
    late_after_ms: float | None = None
    graphs: tuple[int, ...] = ()
    launch_ms: float = 0.0
    prefill_schedule_interval: int = 1
    pace: float = 1.0

    def prompt_budget(self, decoding: int) -> int:
        """Prompt tokens of a step beside ``decoding`` sequences."""
        if self.held_ms is None:
            return self.max_num_batched_tokens - decoding
        within_ms = prompts_within(
            self.times,
            held_ms=self.held_ms / self.pace,
            decoding=decoding,
            interval=self.prefill_schedule_interval,
        )
        tokens = held_budget(
            self.times,
            within_ms=within_ms,
            decoding=decoding,
            largest=self.max_num_batched_tokens,
            graphs=self.graphs,
        )
        return tokens - decoding

    def step_ms(self, *, decoding: int, prompt_tokens: int, now_ms: float) -> float:
        """What a step takes that begins at ``now_ms``."""
        padded = prompt_tokens + padding(decoding + prompt_tokens, self.graphs)
        ms = self.times.step_ms(decoding=decoding, prompt_tokens=padded)
        return self.pace * (max(ms, self.launch_ms) if prompt_tokens else ms)


class Engine:
    """A player at work. Queries are numbers from 0; what is in it moves on with :meth:`step`.

    ``due``: when each arrives, ms. ``first`` and ``done``: ms, written when they happen. What arrives is put into
    ``waiting``; what is late there moves on to ``late``.
    """

    def __init__(
        self, player: Player, *, due: list[float], lengths: list[int], outputs: list[int], first: Floats, done: Floats
    ) -> None:
        self.player = player
        self.now = 0.0
        self.waiting: deque[int] = deque()
        self.late: deque[int] = deque()
        self.decoding = self.read = 0  # sequences; prompt tokens of the last step
        self._due, self._left, self._more = due, lengths, outputs
        self._first, self._done = first, done
        times = player.times
        numbers = (times.a_ms, times.c_us / 1e3, times.p_us / 1e3)
        plain = type(player) is Player and not (player.graphs or player.launch_ms or times.bend_ms)
        self._straight = tuple(player.pace * n for n in numbers) if plain else None
        self._begun = -1  # a query whose prompt is read in part: the first of those that wait
        self._ending: dict[int, list[int]] = {}  # number of a step -> who ends with it
        self._step = 0
        self._since = player.prefill_schedule_interval  # steps after the last that read prompts

    @property
    def busy(self) -> bool:
        return bool(self.decoding or self.waiting or self.late)

    def step(self) -> tuple[list[int], list[int]]:
        """Do a step. Returns who got the first token with it, and who the last."""
        decoding = self.decoding
        interval = self.player.prefill_schedule_interval
        rests = interval > 1 and prompts_rest(decoding=decoding, since=self._since, interval=interval)
        whole, read = self._read() if (self.waiting or self.late) and not rests else ([], 0)
        self.read = read
        self._since = 0 if read else self._since + 1
        self._step += 1
        if self._straight is not None:  # a method's call would be a third of a step
            a, c, p = self._straight
            self.now += a + c * decoding + p * read
        else:
            self.now += self.player.step_ms(decoding=decoding, prompt_tokens=read, now_ms=self.now)
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

    def _read(self) -> tuple[list[int], int]:
        """Who is read to the end in this step, and prompt tokens read."""
        player, left, decoding = self.player, self._left, self.decoding
        if player.late_after_ms is not None:
            self._put_aside(before=self.now - player.late_after_ms)
        budget, free = player.prompt_budget(decoding), player.max_num_seqs - decoding
        whole: list[int] = []
        read = 0
        while (queue := self.waiting or self.late) and budget > 0 and free > 0:
            query = queue[0]
            take = min(budget, left[query])
            left[query] -= take
            budget, read = budget - take, read + take
            if left[query]:
                self._begun = query
                if queue is self.late:
                    self.waiting.appendleft(queue.popleft())
                break
            whole.append(queue.popleft())
            free -= 1
        return whole, read

    def _put_aside(self, *, before: float) -> None:
        """As :func:`sut.engines.vllm_planning.late_last` orders vLLM's queue, which has no prompt that is begun."""
        waiting = self.waiting
        begun = waiting.popleft() if waiting and waiting[0] == self._begun else None
        while waiting and self._due[waiting[0]] < before:
            self.late.append(waiting.popleft())
        if begun is not None:
            waiting.appendleft(begun)


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
    engine = Engine(player, due=due, lengths=lengths.tolist(), outputs=tokens.tolist(), first=first, done=done)
    arrived, finished = 0, 0
    waiting, late = engine.waiting, engine.late
    while finished < count:
        now = engine.now
        while arrived < count and due[arrived] <= now:
            waiting.append(arrived)
            arrived += 1
        if not (engine.decoding or waiting or late):
            engine.now = due[arrived]
            continue
        finished += len(engine.step()[1])
    return Played(
        ttft_ms=first - arrival_ms, tpot_ms=(done - first) / np.maximum(tokens - 1, 1), seconds=engine.now / 1e3
    )
