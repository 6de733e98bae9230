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
    """One engine. ``held_ms``: prompts wait where reading them would make a step longer than that."""

    times: StepTimes
    max_num_seqs: int = 512
    max_num_batched_tokens: int = 8192
    output_tokens: int = 128
    held_ms: float | None = None

    def prompt_budget(self, decoding: int) -> int:
        """Prompt tokens of a step beside ``decoding`` sequences."""
        budget = self.max_num_batched_tokens - decoding
        if self.held_ms is not None:
            room = int(self.times.prompt_tokens(within_ms=self.held_ms, decoding=decoding))
            budget = min(budget, max(room, FEWEST_PROMPT_TOKENS))
        return budget


@dataclass(frozen=True, kw_only=True)
class Played:
    """Latencies of each query in order of arrival, ms, shape [queries] each; ``seconds`` until the last was done."""

    ttft_ms: Floats
    tpot_ms: Floats
    seconds: float


def arrivals(rate: float, *, count: int, seed: int) -> Floats:
    """Times of Poisson arrivals, ms, [count]."""
    return np.cumsum(np.random.default_rng(seed).exponential(1e3 / rate, count))


def play(player: Player, *, arrival_ms: Floats, lengths: Ints) -> Played:
    """Serve prompts of ``lengths`` ([n], tokens) that arrive at ``arrival_ms`` ([n], ascending)."""
    count = len(arrival_ms)
    due, left = arrival_ms.tolist(), lengths.tolist()
    first, done = np.zeros(count), np.zeros(count)
    a, c, p = player.times.a_ms, player.times.c_us / 1e3, player.times.p_us / 1e3
    more = max(player.output_tokens - 1, 0)  # tokens after the first
    waiting: deque[int] = deque()
    ending: dict[int, list[int]] = {}  # number of a step -> who ends with it
    now, step, decoding, arrived, finished = 0.0, 0, 0, 0, 0
    while finished < count:
        while arrived < count and due[arrived] <= now:
            waiting.append(arrived)
            arrived += 1
        if not decoding and not waiting:
            now = due[arrived]
            continue
        budget, read = player.prompt_budget(decoding), 0
        read_whole: list[int] = []
        while waiting and budget > 0 and decoding + len(read_whole) < player.max_num_seqs:
            take = min(budget, left[waiting[0]])
            left[waiting[0]] -= take
            budget, read = budget - take, read + take
            if left[waiting[0]]:
                break
            read_whole.append(waiting.popleft())
        step += 1
        now += a + c * decoding + p * read
        for query in (ended := ending.pop(step, [])):
            done[query] = now
        for query in read_whole:
            first[query] = now
            if not more:
                done[query] = now
        if more:
            ending.setdefault(step + more, []).extend(read_whole)
            decoding += len(read_whole) - len(ended)
            finished += len(ended)
        else:
            finished += len(read_whole)
    return Played(ttft_ms=first - arrival_ms, tpot_ms=(done - first) / max(more, 1), seconds=now / 1e3)
