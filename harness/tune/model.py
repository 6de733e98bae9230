"""The engine as the tuner plays it: what the steps and the real queries say, and the rate that follows. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from harness.config import Scenario
from harness.loadgen.length import full_length
from harness.rundir.tuning import Correction, CurvePoint, Model
from harness.tune.long_runs import Limit, LongRun, Mapper, Setting, at_rates, limits
from harness.tune.playback import Floats, Ints, Player
from sut.steps import StepTimes

QUICK, THOROUGH, FOR_ELASTICITY, FOR_CURVE = range(6), range(24), range(4), range(6)
NEAR = 0.08  # of the knee: corrections from within tell of it
FADE = 0.5  # weight of a correction against the next one: a card slows down as it warms
SCATTER = 0.003  # of a pace beyond its own error
LEAST_ERROR = 0.0015
HOLD = 0.9
Z_HOLD = NormalDist().inv_cdf(HOLD)
CURVE = (-0.06, -0.04, -0.025, -0.0125, 0.0, 0.0125, 0.025, 0.04)
OUTPUTS = 32
MANY = 60_000  # queries
CONFIRM = "confirm-"  # how the directory of a confirmation begins


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked of the system: ``lengths`` of the data set's prompts; ``limits_ms`` of TTFT and TPOT; ``samples``:
    the data set's size under the rules."""

    lengths: Ints
    limits_ms: tuple[float, float]
    samples: int


@dataclass(frozen=True, kw_only=True)
class Engines:
    """The engines' own limits, what else shapes their steps (:class:`harness.tune.playback.Player`), and the policy
    before them."""

    workers: int = 1
    max_num_seqs: int = 512
    max_num_batched_tokens: int = 8192
    held_ms: float | None = None
    late_after_ms: float | None = None
    graphs: tuple[int, ...] = ()
    prefill_schedule_interval: int = 1
    policy: str = "auto"
    prefill_weight: float = 8.0


def new(engines: Engines, times: StepTimes, *, outputs: npt.NDArray[np.int64]) -> Model:
    """A model that no real query has corrected yet. ``outputs``: tokens of the answers seen, any number."""
    model = Model(
        a_ms=0, c_us=0, p_us=0, a_error=0, c_error=0, p_error=0, steps=0, outputs=quantiles(outputs), **vars(engines)
    )
    set_times(model, times)
    return model


def set_times(model: Model, times: StepTimes) -> None:
    for name in ("a_ms", "c_us", "p_us", "a_error", "c_error", "p_error", "steps", "launch_ms", "bend_ms"):
        setattr(model, name, getattr(times, name))


def quantiles(outputs: npt.NDArray[np.int64]) -> list[int]:
    """Tokens of answers at equal steps of their distribution."""
    if not len(outputs):
        return [128]
    found = np.quantile(outputs, (np.arange(OUTPUTS) + 0.5) / OUTPUTS, method="nearest")
    return [int(tokens) for tokens in found]


def player(model: Model, *, pace: float = 1.0) -> Player:
    times = StepTimes(a_ms=model.a_ms, c_us=model.c_us, p_us=model.p_us, bend_ms=model.bend_ms)
    return Player(
        times=times,
        max_num_seqs=model.max_num_seqs,
        max_num_batched_tokens=model.max_num_batched_tokens,
        held_ms=model.held_ms,
        late_after_ms=model.late_after_ms,
        graphs=model.graphs,
        launch_ms=model.launch_ms,
        prefill_schedule_interval=model.prefill_schedule_interval,
        pace=pace,
    )


def setting(model: Model, load: Load) -> Setting:
    """The system as corrected: each engine at its own pace."""
    relative = {w: p / _mean_pace(model.paces.values()) for w, p in model.paces.items()}
    paces = [model.pace * relative.get(str(worker), 1.0) for worker in range(model.workers)]
    return Setting(
        players=tuple(player(model, pace=pace) for pace in paces),
        lengths=load.lengths,
        outputs=np.array(model.outputs, dtype=np.int32),
        limits_ms=load.limits_ms,
        samples=load.samples,
        ttft_ms=model.ttft_ms,
        policy=model.policy,
        prefill_weight=model.prefill_weight,
    )


def _mean_pace(paces: Collection[float]) -> float:
    return math.exp(float(np.mean(np.log(list(paces))))) if paces else 1.0


def take_over(model: Model, corrections: Sequence[Correction], *, knee: float | None) -> None:
    """Set the pace from the corrections near the knee, the latest counting most."""
    model.corrections = list(corrections)
    if not corrections:
        return
    near = [c for c in corrections if knee is None or abs(c.rate / knee - 1) < NEAR]
    confirmed = [c for c in near if c.source.startswith(CONFIRM)]  # minutes long, at the rate itself, the card warm
    near = confirmed[-1:] or near or [min(corrections, key=lambda c: abs(c.rate / (knee or c.rate) - 1))]
    logs, errors = np.log([c.pace for c in near]), np.array([c.error for c in near])
    weights = FADE ** np.arange(len(near))[::-1] / (errors**2 + SCATTER**2)
    weights /= weights.sum()
    mean = float(weights @ logs) + trend(logs)
    model.pace = math.exp(mean)
    own = float(weights**2 @ (errors**2 + SCATTER**2))
    spread = float(weights @ (logs - mean) ** 2) / len(near)
    model.pace_error = max(math.sqrt(max(own, spread)), LEAST_ERROR)
    model.ttft_ms = float(weights @ np.array([c.ttft_ms for c in near]))
    workers = sorted({w for c in near for w in c.paces})
    model.paces = {w: _mean_pace([c.paces[w] for c in near if w in c.paces]) for w in workers}


def trend(logs: Floats) -> float:
    """What a card that slows down from probe to probe will lose still: as much again as at last. 0 where none does."""
    last = np.diff(logs)[-2:]
    return float(last.min()) if len(last) == 2 and (last > 0).all() else 0.0


def scatter(model: Model, *, knee: float) -> float:
    """Standard deviation of the paces near the knee, as a logarithm: large where steps do not explain the latencies."""
    logs = [math.log(c.pace) for c in model.corrections if abs(c.rate / knee - 1) < NEAR]
    return float(np.std(logs)) if len(logs) > 2 else 0.0


def enough(load: Load, *, rate: float) -> int:
    """Seeds that are worth their time: the more queries a run has, the less it is a matter of luck."""
    queries = full_length(Scenario.SERVER, rate=rate, samples=load.samples).samples
    return max(len(QUICK), len(THOROUGH) * MANY // max(queries, MANY))


def find_knee(
    model: Model, load: Load, *, guess: float, seeds: range, known: dict[int, float], run: Mapper = map
) -> float:
    """Play runs of full length with many seeds: set the knee, how surely it is known, and what it is limited by.

    ``known``: what each seed holds against the knee, for the next time.
    """
    system = setting(model, load)
    found = limits(system, guess=guess, seeds=seeds, known=known, run=run)
    rates = np.array([limit.rate for limit in found])
    model.seeds = len(seeds)
    model.played_hours += sum(limit.hours for limit in found)
    model.knee_qps = knee = float(np.median(rates))
    known.update((limit.seed, limit.rate / knee) for limit in found)
    low, high = np.quantile(rates, (1 - HOLD, HOLD))
    model.spread = math.log(high / low) / (2 * Z_HOLD)
    if model.elasticity is None:
        few = found[: len(FOR_ELASTICITY)]
        slower = limits(system.at_pace(1.01), guess=knee * 0.987, seeds=FOR_ELASTICITY, known=known, run=run)
        ratios = [math.log(a.rate / b.rate) for a, b in zip(slower, few, strict=True)]
        model.elasticity = -float(np.mean(ratios)) / math.log(1.01)
    tpot = sum(limit.limited_by == "TPOT" for limit in found)
    model.limited_by = "TPOT" if 2 * tpot >= len(found) else "TTFT"
    of_pace = model.elasticity * (model.pace_error if model.corrections else _regression_error(model))
    model.knee_error = math.hypot(of_pace, 1.25 * model.spread / math.sqrt(len(seeds)))
    model.hold_qps = knee * math.exp(-Z_HOLD * math.hypot(model.spread, of_pace))
    return knee


def _regression_error(model: Model) -> float:
    """Of a pace that no real query has confirmed."""
    return max(0.02, model.p_error / max(model.p_us, 1e-9))


def draw_curve(model: Model, load: Load, *, run: Mapper = map) -> None:
    """Play runs at rates around the knee, for the report."""
    assert model.knee_qps
    rates = [model.knee_qps * (1 + off) for off in CURVE]
    runs = at_rates(setting(model, load), rates=rates, seeds=FOR_CURVE, run=run)
    model.curve = [_point(rate, found) for rate, found in runs.items()]
    model.played_hours += sum(one.seconds for found in runs.values() for one in found) / 3600


def _point(rate: float, runs: list[LongRun]) -> CurvePoint:
    p99 = np.array([one.p99_ms for one in runs])
    low, median, high = np.quantile(p99, (0.1, 0.5, 0.9), axis=0)
    over = np.array([np.array(one.over) / one.queries for one in runs]).mean(axis=0)
    return CurvePoint(
        rate=rate,
        hold=float(np.mean([one.valid for one in runs])),
        ttft_p99_ms=(float(median[0]), float(low[0]), float(high[0])),
        tpot_p99_ms=(float(median[1]), float(low[1]), float(high[1])),
        ttft_over=float(over[0]),
        tpot_over=float(over[1]),
    )


__all__ = ["Engines", "Limit", "Load", "draw_curve", "find_knee", "new", "player", "setting", "take_over"]
