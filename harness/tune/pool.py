"""Several engines behind the dispatcher's own policy, played: who gets which query decides the tail as well."""

from __future__ import annotations

import heapq

import numpy as np

from harness.tune.playback import Engine, Floats, Ints, Played, Player
from sut.checks import CLEAN
from sut.dispatcher import Dispatcher
from sut.messages import Completion, FirstToken
from sut.policies import Sample, make_order, make_policy

TOKEN = b"\0" * 4
ANSWER = np.arange(2, dtype=np.int32).tobytes()  # what is in one does not matter to a dispatcher


def play_pool(
    players: list[Player],
    *,
    arrival_ms: Floats,
    lengths: Ints,
    outputs: Ints,
    policy: str = "auto",
    prefill_weight: float = 8.0,
) -> Played:
    """As :func:`harness.tune.playback.play`, with the real dispatcher before ``players``."""
    due: list[float] = arrival_ms.tolist()
    pool = _Pool(players, due=due, lengths=lengths, outputs=outputs, policy=policy, prefill_weight=prefill_weight)
    end = pool.run(due)
    more = np.maximum(outputs - 1, 1)
    return Played(ttft_ms=pool.first - arrival_ms, tpot_ms=(pool.done - pool.first) / more, seconds=end / 1e3)


class _Pool:
    def __init__(
        self,
        players: list[Player],
        *,
        due: list[float],
        lengths: Ints,
        outputs: Ints,
        policy: str,
        prefill_weight: float,
    ) -> None:
        count = len(lengths)
        self.first, self.done = np.zeros(count), np.zeros(count)
        self.sizes = lengths.tolist()
        left, tokens = lengths.tolist(), outputs.tolist()
        self.engines = [
            Engine(p, due=due, lengths=left, outputs=tokens, first=self.first, done=self.done) for p in players
        ]
        self.dispatcher = Dispatcher(
            policy=make_policy(policy, offline=False, backlog=128, prefill_weight=prefill_weight),
            order=make_order("issue"),
            block=max(count, 1),
            max_attempts=1,
            first_tokens=True,
        )
        for number, player in enumerate(players):
            self.dispatcher.worker_ready(number, capacity=player.max_num_seqs, now_ns=0)
        self._stepping: list[tuple[float, int]] = []  # (end of its step, engine)
        self._results: dict[int, tuple[list[int], list[int]]] = {}

    def run(self, due: list[float]) -> float:
        """Serve all. Returns when the last was done, ms."""
        for query, at in enumerate(due):
            while self._stepping and self._stepping[0][0] <= at:
                self._end_step()
            self._issue(query, at)
        while self._stepping:
            self._end_step()
        return max(engine.now for engine in self.engines)

    def _issue(self, query: int, at: float) -> None:
        self.dispatcher.issue([Sample(query, query, self.sizes[query], int(at * 1e6))])
        self._hand_out(at)

    def _hand_out(self, at: float) -> None:
        for worker, samples in self.dispatcher.assignments(int(at * 1e6)):
            engine = self.engines[worker]
            engine.waiting.extend(s.id for s in samples)
            if worker not in self._results:
                engine.now = at
                self._begin_step(worker)

    def _begin_step(self, worker: int) -> None:
        engine = self.engines[worker]
        self._results[worker] = engine.step()
        heapq.heappush(self._stepping, (engine.now, worker))

    def _end_step(self) -> None:
        at, worker = heapq.heappop(self._stepping)
        now = int(at * 1e6)
        first, done = self._results.pop(worker)
        for query in first:
            self.dispatcher.first_token(worker, FirstToken(query, TOKEN), now)
        for query in done:
            self.dispatcher.complete(worker, Completion(query, ANSWER), now, CLEAN)
        if self.engines[worker].busy:
            self._begin_step(worker)
        self._hand_out(at)
