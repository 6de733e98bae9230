"""Runs as long as the rules ask for, with many arrival seeds, through an engine's step times: which rate they hold.

Not LoadGen's own schedule: a rate fitted to one schedule's luck is no property of the system. A seed's arrivals are the
same at every rate, only closer together, so each seed has one rate up to which it holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from harness.config import Scenario
from harness.loadgen.early_stopping import allowed_over_limit, percentile_of
from harness.loadgen.length import full_length
from harness.tune.playback import Ints, Played, Player, arrivals, play

Mapper = Callable[[Callable[..., Any], Iterable[Any]], Iterable[Any]]
FIRST_STEP = 0.01  # between the guess and the first rates beyond it
KNOWN_STEP = 0.003  # where the seed's own rate is known from a system much like this one
WIDTH = 0.002  # to which the rate of a seed is found
MOST_WORKERS = 8  # played; of a larger system as many with their share of the load


@dataclass(frozen=True, kw_only=True)
class Setting:
    """``players``: the engines. ``lengths``: prompt tokens of the data set's samples, [n]; ``outputs``: tokens of
    answers, any number, drawn from. ``ttft_ms``: added to each TTFT as played. ``limits_ms``: TTFT, TPOT. ``samples``:
    of a round, of which a run has whole ones."""

    players: tuple[Player, ...]
    lengths: Ints
    outputs: Ints
    limits_ms: tuple[float, float]
    samples: int
    ttft_ms: float = 0.0
    policy: str = "auto"
    prefill_weight: float = 8.0

    def at_pace(self, factor: float) -> Setting:
        return replace(self, players=tuple(replace(p, pace=p.pace * factor) for p in self.players))


@dataclass(frozen=True, kw_only=True)
class LongRun:
    """One run of full length. ``over``: queries over the limits of TTFT and TPOT; ``p99_ms``: their percentiles as
    LoadGen takes them."""

    rate: float
    queries: int
    allowed: int
    over: tuple[int, int]
    p99_ms: tuple[float, float]
    seconds: float

    @property
    def valid(self) -> bool:
        return max(self.over) <= self.allowed


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Of one seed: the highest ``rate`` that holds, which limit the next one breaks, and hours that were played."""

    seed: int
    rate: float
    limited_by: str
    hours: float


def long_run(setting: Setting, *, rate: float, seed: int) -> LongRun:
    """600 s and the queries of whole rounds, at ``rate`` samples/s of the whole system."""
    share = min(1.0, MOST_WORKERS / len(setting.players))
    count = max(1, round(share * full_length(Scenario.SERVER, rate=rate, samples=setting.samples).samples))
    played = _play(setting, rate=rate * share, count=count, seed=seed)
    ttft, tpot = played.ttft_ms + setting.ttft_ms, played.tpot_ms
    return LongRun(
        rate=rate,
        queries=count,
        allowed=allowed_over_limit(count),
        over=(int((ttft > setting.limits_ms[0]).sum()), int((tpot > setting.limits_ms[1]).sum())),
        p99_ms=(percentile_of(1e6 * ttft, 0.99) / 1e6, percentile_of(1e6 * tpot, 0.99) / 1e6),
        seconds=played.seconds,
    )


def _play(setting: Setting, *, rate: float, count: int, seed: int) -> Played:
    rng = np.random.default_rng([seed, 1])
    size = len(setting.lengths)
    rounds = [rng.permutation(size) for _ in range(math.ceil(count / size))]
    lengths = setting.lengths[np.concatenate(rounds)[:count]]
    outputs = rng.choice(setting.outputs, count).astype(np.int32)
    at = arrivals(rate, count=count, seed=seed)
    players = list(setting.players)
    if len(players) == 1:
        return play(players[0], arrival_ms=at, lengths=lengths, outputs=outputs)
    from harness.tune.pool import play_pool

    slowest_to_quickest = sorted(players, key=lambda p: -p.pace)
    some = slowest_to_quickest[:: math.ceil(len(players) / MOST_WORKERS)]
    return play_pool(
        some,
        arrival_ms=at,
        lengths=lengths,
        outputs=outputs,
        policy=setting.policy,
        prefill_weight=setting.prefill_weight,
    )


def limit_of(case: tuple[int, float, float], *, setting: Setting) -> Limit:
    """The highest rate that holds with the arrivals of a seed. ``case``: the seed, a guess, and by how much to leave it
    at first."""
    seed, rate, step = case
    guess, low, high, hours, binding = rate, 0.0, 0.0, 0.0, "TPOT"
    while not (low and high and high / low - 1 < WIDTH) and 1e-2 < rate / guess < 1e2:
        run = long_run(setting, rate=rate, seed=seed)
        hours += run.seconds / 3600
        if run.valid:
            low = rate
        else:
            high = rate
            binding = ("TTFT", "TPOT")[int(run.over[1] >= run.over[0])]
        if low and high:
            rate = math.sqrt(low * high)
        else:
            rate, step = (low * (1 + step) if low else high / (1 + step)), 2 * step
    return Limit(seed=seed, rate=math.sqrt(low * high) if low and high else low, limited_by=binding, hours=hours)


def limits(
    setting: Setting, *, guess: float, seeds: range, known: Mapping[int, float] | None = None, run: Mapper = map
) -> list[Limit]:
    """:func:`limit_of` for each seed. ``known``: by seed, relative to ``guess``, from a system much like this one.
    ``run``: like ``map``, perhaps in many processes."""
    known = known or {}
    cases = [(s, guess * known.get(s, 1.0), KNOWN_STEP if s in known else FIRST_STEP) for s in seeds]
    return list(run(partial(limit_of, setting=setting), cases))


def at_rates(
    setting: Setting, *, rates: Iterable[float], seeds: range, run: Mapper = map
) -> dict[float, list[LongRun]]:
    """Runs of each rate with each seed."""
    pairs = [(rate, seed) for rate in rates for seed in seeds]
    found: dict[float, list[LongRun]] = {}
    for one in run(partial(_pair, setting), pairs):
        found.setdefault(one.rate, []).append(one)
    return found


def _pair(setting: Setting, pair: tuple[float, int]) -> LongRun:
    return long_run(setting, rate=pair[0], seed=pair[1])
