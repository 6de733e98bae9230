"""Which engine settings give the highest valid rate: Optuna proposes, a short search of the rate judges each.

Every setting needs its own start of the engines, so a trial costs a minute or more and none is made twice. While
untried settings are left and time is, trials go on: on a small grid that is the exhaustive sweep, on a large one the
tree-structured Parzen estimator decides what is worth its minute.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from harness.config import RunConfig
from harness.rundir.tuning import Found, Trial
from harness.session.session import Session
from harness.tune.scenarios import explore, speed_of
from harness.tune.state import State, with_settings
from mlperf_llama_base.errors import EnvironmentFault, RunError

log = logging.getLogger("tune")
Settings = dict[str, Any]
Evaluate = Callable[[Settings], float]
Start = Callable[[RunConfig], AbstractContextManager[Session]]
REPEATS = 8


def choose(config: RunConfig, state: State, start: Start) -> None:
    """Try settings within the budget; put the best, with its probes, into ``state``.

    Raises ``EnvironmentFault`` if the engine ran with none of them.
    """
    options = state.options
    for combination in grid(options.search):
        with_settings(config, combination)  # an unknown key is reported before the first engine is loaded

    def evaluate(settings: Settings) -> float:
        trial = _trial(config, state, settings, start)
        state.record.trials.append(trial)
        state.save(now=None)
        return trial.score

    trials = state.record.trials
    known = [(trial.settings, trial.score) for trial in trials]
    optimise(options.search, evaluate, known=known, seconds=60 * options.budget_minutes, seed=options.seed)
    best = max(trials, key=lambda t: t.score)
    if not best.score:
        errors = {t.error for t in trials if t.error}
        what = f"none of {len(trials)} engine settings gave a valid rate"
        raise EnvironmentFault(f"{what}: {'; '.join(sorted(errors))[:400] or 'all were over the limits'}")
    state.save(engine_settings=best.settings, capacity=best.capacity, probes=best.probes)


def _trial(config: RunConfig, state: State, settings: Settings, start: Start) -> Trial:
    began = time.monotonic()
    trial = Trial(settings=settings, state="done")
    name = " ".join(f"{k}={v}" for k, v in settings.items())
    try:
        with start(with_settings(config, settings)) as session:
            found = explore(
                session,
                state.options,
                known=Found(),
                coarse=True,
                save=lambda now, _: state.save(now=f"{name}: {now}"),
            )
        trial.capacity, trial.ceiling_qps, trial.bracket = found.capacity, found.ceiling_qps, found.bracket
        trial.probes, trial.score = found.probes, speed_of(found)
    except (EnvironmentFault, RunError) as error:  # out of memory, say: the next setting may do
        trial.state, trial.error = "failed", str(error)
        log.warning("%s: %s", name, error)
    trial.duration_s = time.monotonic() - began
    return trial


def grid(space: dict[str, list[Any]]) -> list[Settings]:
    """Every combination."""
    return [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]


def optimise(
    space: dict[str, list[Any]], evaluate: Evaluate, *, known: list[tuple[Settings, float]], seconds: float, seed: int
) -> None:
    """Call ``evaluate`` with settings that were not tried, the promising ones first, until all are or time is up.

    At least one is tried. ``known``: what was found before. Raises ``EnvironmentFault`` without Optuna.
    """
    try:
        import optuna
    except ImportError as error:
        raise EnvironmentFault("--search needs Optuna: pip install 'mlperf-llama[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ends = time.monotonic() + seconds
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=4))
    choices = {name: optuna.distributions.CategoricalDistribution(values) for name, values in space.items()}
    left = grid(space)
    for settings, value in known:
        study.add_trial(optuna.trial.create_trial(params=settings, distributions=choices, value=value))
        left.remove(settings)
    tried = bool(known)
    while left and not (tried and time.monotonic() > ends):
        trial = study.ask(choices)
        for _ in range(REPEATS):
            if trial.params in left:
                break
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            trial = study.ask(choices)
        else:  # the sampler insists on what it knows: give it something new
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(left[0])
            trial = study.ask(choices)
        settings = dict(trial.params)
        left.remove(settings)
        study.tell(trial, evaluate(settings))
        tried = True
