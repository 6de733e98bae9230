"""What is searched in each scenario: a rate within limits, the full speed, or the time of a single query."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from harness.config import Scenario
from harness.rounds import ROUND
from harness.session.session import Session
from harness.tune.probe import Prober, probing
from harness.tune.search import Ask, Estimate, Search, clean, queueing_ceiling
from harness.tune.state import Options
from harness.tune.verdict import Probe, full_length_share

log = logging.getLogger("tune")
FILLED = 1.25  # times what the engines can work on at once


class SearchFields:
    """Where a search stands; a mapping of the fields of ``tune.json`` that it fills."""

    def __init__(self, known: dict[str, Any]) -> None:
        self.fields: dict[str, Any] = {k: known.get(k) for k in ("capacity", "ceiling_qps")}
        self.fields["probes"] = list(known.get("probes") or [])


def explore(
    session: Session, options: Options, *, known: dict[str, Any], save: Callable[..., None], coarse: bool = False
) -> dict[str, Any]:
    """Search in a started session; ``known`` holds what an earlier search of the same settings left.

    ``save(**fields)`` is called after each step. Returns the fields of ``tune.json``. ``coarse``: half the probes and
    four times the tolerance, to compare engine settings.
    """
    found = SearchFields(known)
    with probing(session, seed=options.seed) as prober:
        scenario = session.config.scenario
        if found.fields["capacity"] is None:
            save(now="measuring the full engine's speed" if scenario is not Scenario.SINGLESTREAM else "single queries")
            # twice a probe: where queueing decides, the knee follows from this figure alone
            found.fields["capacity"] = prober.closed_loop(_fill(session), seconds=2 * options.probe_seconds)
            save(**found.fields)
        if scenario in ROUND.limits_ns:
            _search(prober, session, options, found=found, save=save, coarse=coarse)
        else:
            found.fields |= _without_limits(scenario, found.fields["capacity"])
        save(now=None, **found.fields)
    return found.fields


def score(fields: dict[str, Any]) -> float:
    """samples/s by which engine settings are compared; 0 where nothing valid was found."""
    if fields.get("bracket"):
        return float(fields.get("knee_qps") or 0.0)
    return float(fields["capacity"]["samples_per_second"])


def _fill(session: Session) -> int:
    if session.config.scenario is Scenario.SINGLESTREAM:
        return 1
    return int(FILLED * session.hub.capacity) + 1


def _without_limits(scenario: Scenario, capacity: dict[str, Any]) -> dict[str, Any]:
    spread = f"over {capacity['samples']} samples in {capacity['duration_s']:.0f} s"
    if scenario is Scenario.SINGLESTREAM:
        mean = capacity["latency_mean_ms"]
        return {"target_latency_ms": clean(mean), "confidence": f"mean of {mean:.4g} ms {spread}"}
    rate = clean(capacity["samples_per_second"])
    return {
        "knee_qps": rate,
        "best_qps": rate,
        "confidence": f"{rate:g} samples/s with the engine kept full, {spread}; LoadGen issues 10 % more than "
        "target_qps asks for, so a run lasts long enough unless the engine is over 10 % faster",
    }


def _search(
    prober: Prober, session: Session, options: Options, *, found: SearchFields, save: Callable[..., None], coarse: bool
) -> None:
    capacity = float(found.fields["capacity"]["samples_per_second"])
    limits = ROUND.limits_ns[session.config.scenario]
    ceiling = queueing_ceiling(capacity, ttft_limit_s=limits[0] / 1e9, share=full_length_share(capacity))
    ceiling = clean(ceiling)
    found.fields["ceiling_qps"] = ceiling
    search = Search(
        capacity=capacity,
        ceiling=ceiling,
        tolerance=options.tolerance * (4 if coarse else 1),
        max_probes=max(2, options.max_probes // 2) if coarse else options.max_probes,
        probes=[Probe(**p) for p in found.fields["probes"]],
    )
    while (ask := search.next()) is not None:
        save(now=f"probe {len(search.probes) + 1}: {ask.rate:g} samples/s")
        probe = _ask(prober, ask, options)
        log.info("%g samples/s: %s (%s)", probe.target_qps, "valid" if probe.valid else "not valid", probe.reason)
        search.add(probe)
        found.fields["probes"].append(probe.as_dict())
        found.fields |= _outcome(search, options)
        save(**found.fields)
    found.fields |= _outcome(search, options)


def _ask(prober: Prober, ask: Ask, options: Options) -> Probe:
    return prober.at_rate(ask.rate, seconds=ask.lengthen * options.probe_seconds, thorough=ask.lengthen > 1)


def _outcome(search: Search, options: Options) -> dict[str, Any]:
    found = search.estimate()
    best = None
    if found.knee is not None:
        best = clean(min(found.knee * (1 - options.margin), max(p.target_qps for p in search.probes if p.valid)))
    return {
        "knee_qps": found.knee,
        "best_qps": best,
        "bracket": {
            "low": found.low,
            "high": found.high,
            "error_percent": 100 * found.error if found.error is not None else None,
            "limited_by": found.limited_by,
        },
        "confidence": _words(search, found),
    }


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
