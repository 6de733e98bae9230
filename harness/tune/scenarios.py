"""What is searched in each scenario: a rate within limits, the full speed, or the time of a single query."""

from __future__ import annotations

import logging
from collections.abc import Callable

from harness.config import Scenario
from harness.rounds import ROUND
from harness.rundir.tuning import Bracket, Capacity, Found, Probe
from harness.session.session import Session
from harness.tune.by_model import ModelSearch
from harness.tune.probe import Prober, probing
from harness.tune.processes import processes
from harness.tune.search import Ask, Estimate, Search, clean, queueing_ceiling
from harness.tune.state import Options
from harness.tune.system import engines_of, load_of, tells_steps
from harness.tune.verdict import full_length_share
from sut.steps import StepSums

log = logging.getLogger("tune")
Save = Callable[[str | None, Found], None]
FILLED = 1.25  # times what the engines can work on at once
LATE_S = 1.0  # that an engine's record of its steps may be behind
AGAIN = 2


def explore(session: Session, options: Options, *, known: Found, save: Save, coarse: bool = False) -> Found:
    """Search in a started session; ``known`` is what an earlier search of the same settings left.

    ``save(now, found)`` is called after each step. ``coarse``: half the probes and four times the tolerance, to compare
    engine settings.
    """
    found = Found(capacity=known.capacity, ceiling_qps=known.ceiling_qps, probes=list(known.probes), model=known.model)
    scenario = session.config.scenario
    with probing(session, seed=options.seed) as prober:
        # a model begins with the steps of the full engine of this very session
        if found.capacity is None or (found.model is None and scenario in ROUND.limits_ns and tells_steps(session)):
            what = "measuring the full engine's speed" if scenario is not Scenario.SINGLESTREAM else "single queries"
            save(what, found)
            # twice a probe: where queueing decides, the knee follows from this figure alone
            found.capacity = prober.closed_loop(_fill(session), seconds=2 * options.probe_seconds)
            save(what, found)
        if scenario not in ROUND.limits_ns:
            _without_limits(scenario, found, found.capacity)
        elif not _by_model(prober, session, options, found=found, save=save, coarse=coarse):
            _search(prober, session, options, found=found, capacity=found.capacity, save=save, coarse=coarse)
        save(None, found)
    return found


def _by_model(prober: Prober, session: Session, options: Options, *, found: Found, save: Save, coarse: bool) -> bool:
    """Search through the engine's steps, where it tells them; False where it does not, or they do not explain much."""
    if not tells_steps(session):
        return False
    late_s = 2 * session.config.workers.heartbeat_s + LATE_S
    full = steps_of_the_full(prober, outstanding=_fill(session), seconds=2 * options.probe_seconds, late_s=late_s)
    with processes() as run:
        search = ModelSearch(
            source=prober,
            load=load_of(session),
            engines=engines_of(session),
            options=options,
            found=found,
            full=full,
            tell=lambda now: save(now, found),
            run=run,
            coarse=coarse,
        )
        if not search.go():
            log.info("the engine's steps do not tell what it holds: searching by the headroom of probes")
            found.model = None
            return False
        if not coarse:
            search.draw()
    return True


def steps_of_the_full(prober: Prober, *, outstanding: int, seconds: float, late_s: float) -> StepSums:
    """Sums over the steps of the engine that was just kept full. Where they are too few or too noisy for the three
    numbers (long steps, a busy host), it is kept full some more, ``AGAIN`` times ``seconds`` at most."""
    for _ in range(AGAIN):
        prober.system.pause(late_s)  # its last steps are told
        full = prober.step_sums()
        if (times := full.fit()) is not None and times.sound:
            return full
        log.info("%d steps do not tell what a step takes: the engine is kept full for %g s more", full.steps, seconds)
        prober.closed_loop(outstanding, seconds=seconds)
    prober.system.pause(late_s)
    return prober.step_sums()


def speed_of(found: Found) -> float:
    """samples/s by which engine settings are compared; 0 where nothing valid was found."""
    if found.bracket is not None:
        return found.knee_qps or 0.0
    return found.capacity.samples_per_second if found.capacity else 0.0


def _fill(session: Session) -> int:
    if session.config.scenario is Scenario.SINGLESTREAM:
        return 1
    return int(FILLED * session.hub.capacity) + 1


def _without_limits(scenario: Scenario, found: Found, capacity: Capacity) -> None:
    spread = f"over {capacity.samples} samples in {capacity.duration_s:.0f} s"
    if scenario is Scenario.SINGLESTREAM:
        mean = capacity.latency_mean_ms or 0.0
        found.target_latency_ms, found.confidence = clean(mean), f"mean of {mean:.4g} ms {spread}"
        return
    rate = clean(capacity.samples_per_second)
    found.knee_qps = found.best_qps = rate
    found.confidence = (
        f"{rate:g} samples/s with the engine kept full, {spread}; LoadGen issues 10 % more than target_qps asks for, "
        "so a run lasts long enough unless the engine is over 10 % faster"
    )


def _search(
    prober: Prober,
    session: Session,
    options: Options,
    *,
    found: Found,
    capacity: Capacity,
    save: Save,
    coarse: bool,
) -> None:
    rate = capacity.samples_per_second
    limits = ROUND.limits_ns[session.config.scenario]
    ceiling = queueing_ceiling(rate, ttft_limit_s=limits[0] / 1e9, share=full_length_share(rate))
    found.ceiling_qps = ceiling = clean(ceiling)
    search = Search(
        capacity=rate,
        ceiling=ceiling,
        tolerance=options.tolerance * (4 if coarse else 1),
        max_probes=max(2, options.max_probes // 2) if coarse else options.max_probes,
        probes=list(found.probes),
    )
    while (ask := search.next()) is not None:
        save(f"probe {len(search.probes) + 1}: {ask.rate:g} samples/s", found)
        probe = _ask(prober, ask, options)
        log.info("%g samples/s: %s (%s)", probe.target_qps, "valid" if probe.valid else "not valid", probe.reason)
        search.add(probe)
        found.probes.append(probe)
        _conclude(search, options, found)
        save(None, found)
    _conclude(search, options, found)


def _ask(prober: Prober, ask: Ask, options: Options) -> Probe:
    return prober.at_rate(ask.rate, seconds=ask.lengthen * options.probe_seconds, thorough=ask.lengthen > 1)


def _conclude(search: Search, options: Options, found: Found) -> None:
    estimate = search.estimate()
    best = None
    if estimate.knee is not None:
        best = clean(min(estimate.knee * (1 - options.margin), max(p.target_qps for p in search.probes if p.valid)))
    found.knee_qps, found.best_qps = estimate.knee, best
    found.bracket = Bracket(
        low=estimate.low,
        high=estimate.high,
        error_percent=100 * estimate.error if estimate.error is not None else None,
        limited_by=estimate.limited_by,
    )
    found.confidence = _words(search, estimate)


def _words(search: Search, found: Estimate) -> str:
    count = len(search.probes)
    if found.knee is None:
        return f"nothing valid in {count} probes: all were over the limits"
    queries = sum(p.queries for p in search.probes if p.whole)
    high = f"not valid from {found.high:g}" if found.high < search.ceiling else f"{found.high:g} is the ceiling"
    seen = f"{count} probes, {queries} queries; valid up to {found.low or 0:g}, {high}"
    if found.error is None:
        return f"{found.knee:.5g} samples/s follows from the full engine's speed, {search.capacity:.5g} ({seen})"
    return f"{found.knee:.5g} samples/s +- {100 * found.error:.2g} % (standard error of the line through {seen})"
