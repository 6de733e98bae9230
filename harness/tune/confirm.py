"""LoadGen's own run at the rate that was found: only it proves anything.

A run that fails cannot be called off, so one that has plainly failed ends the process (exit status ``START_AGAIN``);
the command starts another, which goes on with the next lower rate.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.config import RunConfig, Scenario
from harness.loadgen.early_stopping import allowed_over_limit
from harness.rounds import ROUND
from harness.rundir import names
from harness.rundir.files import write_record
from harness.rundir.system import this_system
from harness.rundir.tuning import Confirmation
from harness.session.session import Session
from harness.tune import model as models
from harness.tune.by_model import conclude, rate_of
from harness.tune.correction import correct
from harness.tune.past import history, settled
from harness.tune.processes import processes
from harness.tune.search import clean
from harness.tune.state import Options, State
from harness.tune.system import load_of
from harness.verdict.result import write_result
from mlperf_llama_base.errors import RunError

START_AGAIN = 75
MOST = 4
LOOK_EVERY_S = 5.0
# Runs of 600 s played through an H100's step times (harness.tune.playback): Interactive 0.9 % of the queries over the
# TPOT limit at 51.5 q/s, 2.4 at 52.5, 8.5 at 54; Server 0.1 % over the TTFT limit at 62.5, 3.6 at 63, 32 at 63.5.
STEEPNESS = {"TPOT": 0.022, "TTFT": 0.004}
MOST_LOWER = 0.1
WHOLE = 0.8  # of the queries expected


class Hopeless(RunError):
    """The confirmation can no longer become valid; the process has to end, since LoadGen goes on."""


def confirm(session: Session, state: State, options: Options) -> None:
    """Run LoadGen at the best rate, and lower it until a run is valid. Raises ``Hopeless``."""
    while len(state.record.confirmations) < MOST:
        config = confirming(session.config, state, options)
        number = len(state.record.confirmations) + 1
        run_dir = state.directory / f"confirm-{number}"
        state.save(state="confirming", now=f"confirming with LoadGen: {_target(config)}")
        outcome = _run(session, config, run_dir, state)
        if outcome.valid or state.record.best_qps is None:
            return
        lower(state, options)


def confirming(config: RunConfig, state: State, options: Options) -> RunConfig:
    """The configuration of the confirmation; a shorter one is marked by LoadGen's settings and never submittable."""
    config = config.model_copy(deep=True)
    config.loadgen.target_qps = state.record.best_qps
    config.loadgen.target_latency_ms = state.record.target_latency_ms
    if options.confirm_seconds is not None:
        config.loadgen.min_duration_ms = int(options.confirm_seconds * 1e3)
        if config.scenario is Scenario.OFFLINE:
            config.loadgen.min_query_count = max(1, int(options.confirm_seconds * (state.record.best_qps or 0.0)))
    return config


def lower(state: State, options: Options) -> None:
    """After a failure: down by what the refused run's own record asks (Offline: up, since its run was too short).

    At least half the tolerance, so that the next run differs; each further refusal doubles that.
    """
    record = state.record
    refused = [c for c in record.confirmations if not c.valid]
    rate = record.best_qps or 0.0
    factor = 1.05
    if record.scenario != Scenario.OFFLINE:
        least = 0.5 * options.tolerance * 2 ** max(len(refused) - 1, 0)
        above = excess(refused[-1]) if refused else 0.0
        if refused and record.model is not None:
            # the model has played that run's own arrivals; how many of a run that ended early were over says little:
            # LoadGen's first thousand queries come faster than the rate that was asked
            known = excess(refused[-1]) if whole(refused[-1]) else 0.0
            above = max(known, 1 - rate_of(record.model, margin=options.margin) / rate)
        factor = 1 - min(max(above, least), MOST_LOWER)
    state.save(best_qps=clean(rate * factor))


def excess(refused: Confirmation) -> float:
    """How far above the knee a refused run was, relative, by the share of its queries that were over a limit.

    Near the knee that share grows e-fold for each ``STEEPNESS`` of the rate.
    """
    if not (refused.over and refused.queries and refused.allowed_share and refused.limited_by):
        return 0.0
    times = refused.over / refused.queries / refused.allowed_share
    return STEEPNESS[refused.limited_by] * math.log(max(times, 1.0))


def whole(run: Confirmation) -> bool:
    """Whether a run came so far that its share of queries over a limit is that of its whole length."""
    return bool(run.queries and run.expected and run.queries > WHOLE * run.expected)


def learn(session: Session, state: State, run: Confirmation) -> None:
    """Play a confirmation's own arrivals: correct the model by it, and find the knee anew where it was refused."""
    found = state.record.model
    if found is None or run.target_qps is None:
        return
    past = history([session.hub.record], session.hub.in_flight(), output_tokens=max(found.outputs))
    past = replace(past, ids=np.arange(len(past.ids)))
    one = correct(
        models.player(found),
        past,
        judged=settled(past),
        source=run.directory,
        rate=run.target_qps,
        start=found.pace,
    )
    if one is None:
        return
    models.take_over(found, [*found.corrections, one], knee=found.knee_qps)
    if not run.valid:
        state.save(now="playing the refused run")
        with processes() as mapper:
            guess, load = found.knee_qps or run.target_qps, load_of(session)
            models.find_knee(
                found, load, guess=guess, seeds=models.THOROUGH[: models.enough(load, rate=guess)], known={}, run=mapper
            )
            models.draw_curve(found, load, run=mapper)
        conclude(state.record, state.options)
        state.record.best_qps = run.target_qps
    state.save()


def _run(session: Session, config: RunConfig, run_dir: Path, state: State) -> Confirmation:
    run_dir.mkdir(parents=True, exist_ok=True)
    config = config.model_copy(update={"output": str(run_dir)})
    config.save(run_dir / names.CONFIG)
    write_record(run_dir / names.SYSTEM, this_system())
    began = time.monotonic()
    done = Confirmation(
        directory=run_dir.name,
        target_qps=config.loadgen.target_qps,
        target_latency_ms=config.loadgen.target_latency_ms,
        full_length=config.loadgen.min_duration_ms is None,
        valid=False,
        duration_s=0.0,
    )
    watch = Watch(session)
    try:
        session.test(config, run_dir, watch=watch.look)
    except Hopeless as problem:
        session.journal.save(run_dir, problem)
        watch.tell(done)
        done.reasons, done.duration_s = [str(problem)], time.monotonic() - began
        state.record.confirmations.append(done)
        state.save()
        learn(session, state, done)
        raise
    session.journal.save(run_dir)
    watch.tell(done)
    result = write_result(run_dir)
    done.valid, done.submittable, done.reasons = result.valid, result.submittable, result.invalid_reasons
    done.samples_per_second, done.tokens_per_second = result.samples_per_second, result.tokens_per_second
    done.ttft_p99_ms = result.ttft_ms.p99 if result.ttft_ms else None
    done.tpot_p99_ms = result.tpot_ms.p99 if result.tpot_ms else None
    done.duration_s = time.monotonic() - began
    state.record.confirmations.append(done)
    state.save()
    learn(session, state, done)
    return done


class Watch:
    """Tells when a confirmation has more queries over a limit than its whole length may have."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._limits = ROUND.limits_ns.get(session.config.scenario)
        self._at = 0.0
        self._seen = 0
        self._over = np.zeros(2, dtype=np.int64)

    def look(self) -> str | None:
        """Raises ``Hopeless``."""
        expected = self._session.journal.expected
        if self._limits is None or not expected or time.monotonic() - self._at < LOOK_EVERY_S:
            return None
        self._at = time.monotonic()
        self._count(self._limits)
        allowed = max(allowed_over_limit(int(1.02 * expected)), 0)  # of too few queries to tell: LoadGen will say so
        if self._over.max() > allowed:
            raise Hopeless(
                f"ended after {self._seen} of about {expected} queries: {self._over.max()} are over a limit, "
                f"{allowed} may be"
            )
        return None

    def tell(self, run: Confirmation) -> None:
        """Write into ``run`` how many of its queries were over the limit that most were over."""
        if self._limits is None:
            return
        self._count(self._limits)
        expected = max(self._session.journal.expected or 0, self._seen)
        run.queries, run.over, run.expected = self._seen, int(self._over.max()), expected
        run.allowed_share = allowed_over_limit(expected) / expected if expected else None
        run.limited_by = ("TTFT", "TPOT")[int(self._over.argmax())]

    def _count(self, limits: tuple[int, int]) -> None:
        columns = self._session.hub.record.columns
        end = len(columns["attempts"])
        issue, first, complete, tokens = (
            np.array(columns[name][self._seen : end], dtype=np.int64)
            for name in ("issue_ns", "first_token_ns", "complete_ns", "output_tokens")
        )
        self._seen = end
        self._over[0] += (first - issue > limits[0]).sum()
        self._over[1] += ((complete - first) // np.maximum(tokens - 1, 1) > limits[1]).sum()


def _target(config: RunConfig) -> str:
    if config.scenario is Scenario.SINGLESTREAM:
        return f"target_latency {config.loadgen.target_latency_ms:g} ms"
    return f"target_qps {config.loadgen.target_qps:g}"
