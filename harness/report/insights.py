"""What limited the run, said only where the recorded figures show it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from harness.config import Scenario
from harness.inventory.gpu import THROTTLE_REASONS
from harness.report.document import Tone
from harness.report.load import Events, Floats, RunData
from harness.report.steps import DECODE, steps
from harness.rundir.energy import window

NEAR = 0.9  # of a limit: this is what binds
IMBALANCE = 0.05
THROTTLED = 0.01  # share of the samples
DRAIN = 0.5  # of the run: with more than that everything was handed out early, and nothing drained
USUAL = 20  # steps of a class, for its mean to say something


class Insight(NamedTuple):
    text: str
    tone: Tone


def insights(run: RunData) -> list[Insight]:
    """Return the findings, those about the latency limits first."""
    found = list(_latency(run))
    if run.events is not None and len(run.events.complete):
        found += _queue(run.events, run.scenario)
        found += _first_token(run, run.events)
        found += _balance(run, run.events)
    found += _steps(run)
    found += _gpus(run)
    found += _host(run)
    found += _faults(run)
    return found


def _latency(run: RunData) -> Iterator[Insight]:
    shares = {}
    for name, limit in run.limits_ms.items():
        value = run.percentile_ms(name)
        if value is not None and limit is not None:
            shares[name.upper()] = (value / limit, value, limit)
    for name, (share, value, limit) in shares.items():
        if share > 1:
            yield Insight(
                f"{name} p99 is {value:,.1f} ms, over its limit of {limit:,.0f} ms: "
                "lower target_qps, or make the system faster.",
                "bad",
            )
    if shares and all(share <= 1 for share, _, _ in shares.values()):
        name, (share, value, limit) = max(shares.items(), key=lambda item: item[1][0])
        if share >= NEAR:
            yield Insight(
                f"{name} binds: its p99 is {value:,.1f} ms, {100 * share:.0f} % of the limit of {limit:,.0f} ms.", ""
            )
        else:
            yield Insight(
                f"Neither latency is near its limit ({name} p99 at {100 * share:.0f} %): the offered rate "
                "limits this run; a higher target_qps may still be valid.",
                "warn",
            )


def _queue(events: Events, scenario: Scenario) -> Iterator[Insight]:
    """A Server queue that grows to the end: the offered load is above the capacity. Offline: the tail of the drain."""
    end = events.duration
    if scenario in (Scenario.SERVER, Scenario.INTERACTIVE):
        last_issue = float(events.issue.max())
        at = np.linspace(0.25 * last_issue, last_issue, 40)
        depth = outstanding(events, at)
        early, late = float(depth[:10].mean()), float(depth[-10:].mean())
        if late > 1.5 * early + 5:
            yield Insight(
                f"The queue grew until the end (from {early:,.0f} to {late:,.0f} samples outstanding): the "
                "offered rate is above what the system sustains.",
                "bad",
            )
    elif scenario is Scenario.OFFLINE and end > 0:
        last = float(np.nanmax(events.dispatch))
        tail = end - last
        done = float(events.output_tokens[events.complete <= last].sum())
        if last > 0 and 0.02 < tail / end < DRAIN:
            steady = done / last
            left = float(events.output_tokens[events.complete > last].sum())
            yield Insight(
                f"The drain took the last {tail:,.1f} s ({100 * tail / end:.1f} % of the run): "
                f"{left / tail:,.0f} tokens/s there against {steady:,.0f} before. A "
                "longer run, or longest samples first at the end, makes it count less.",
                "",
            )


def _first_token(run: RunData, events: Events) -> Iterator[Insight]:
    """Where the slowest first tokens spent their time."""
    if not events.has_first_tokens or run.limits_ms["ttft"] is None:
        return
    ttft = events.ttft
    slow = ttft >= np.nanpercentile(ttft, 99)
    queued, total = (float(np.nanmean(v[slow])) for v in (events.dispatch - events.issue, ttft))
    if total > 0 and queued / total > 0.5:
        yield Insight(
            f"The slowest 1 % of first tokens waited {1000 * queued:,.0f} ms of {1000 * total:,.0f} ms in "
            "the dispatcher, before any worker had them: all workers were full.",
            "warn",
        )


def _balance(run: RunData, events: Events) -> Iterator[Insight]:
    workers, tokens = tokens_by_worker(events)
    if len(workers) < 2:
        return
    spread = (tokens.max() - tokens.min()) / tokens.mean()
    if spread > IMBALANCE:
        slow, fast = workers[int(tokens.argmin())], workers[int(tokens.argmax())]
        yield Insight(
            f"Worker {slow} generated {100 * (1 - tokens.min() / tokens.max()):.1f} % fewer tokens than worker {fast}.",
            "warn",
        )
    for worker in run.session.workers:
        busy = worker.busy_fraction
        if busy is not None and busy < NEAR:
            yield Insight(f"Worker {worker.id} was busy {100 * busy:.0f} % of the time.", "warn")


def _steps(run: RunData) -> Iterator[Insight]:
    """Steps that take as long with half the tokens: computation is not what takes the time."""
    usual = [s for s in steps(run) if s.count >= USUAL]
    if not usual or usual[0].kind != DECODE:
        return
    decode = usual.pop(0)
    for small, large in itertools.pairwise(usual):
        if large.tokens > 1.5 * small.tokens and small.ms > 0.85 * large.ms and small.ms > 2 * decode.ms:
            yield Insight(
                f"Steps of {small.tokens:,.0f} tokens took {small.ms:.1f} ms, nearly as long as those of "
                f"{large.tokens:,.0f} ({large.ms:.1f} ms); one that only decodes took {decode.ms:.1f} ms. "
                "The time goes into launching kernels, not into computing (no CUDA graph of that size: "
                "engine.args.cudagraph_capture_sizes) or the scheduler.",
                "warn",
            )
            return


def _gpus(run: RunData) -> Iterator[Insight]:
    names = sorted({(node, source) for node, source, _ in run.metrics or {} if source.startswith("gpu")})
    for node, source in names:
        label = f"{node} {source}"
        reasons = during(run, node, source, "throttle_reasons")
        for bit, text in THROTTLE_REASONS.items():
            share = float(np.mean((reasons.astype(np.int64) & bit) != 0)) if len(reasons) else 0.0
            if share > THROTTLED:
                yield Insight(f"{label}: {text} for {100 * share:.0f} % of the test.", "warn")
        used = during(run, node, source, "utilisation_pct")
        if len(used) and used.mean() < 100 * NEAR:
            yield Insight(f"{label} was used {used.mean():.0f} % of the test: it waited for work.", "warn")


def _host(run: RunData) -> Iterator[Insight]:
    for node in sorted({node for node, source, _ in run.metrics or {} if source == "cpu"}):
        every, busiest = during(run, node, "cpu", "utilisation_pct"), during(run, node, "cpu", "busiest_core_pct")
        if len(every) and every.mean() > 100 * NEAR:
            yield Insight(f"{node}: the processor was {every.mean():.0f} % busy: the host may limit the run.", "warn")
        elif len(busiest) and np.median(busiest) > 98:
            yield Insight(
                f"{node}: some core was saturated in half of the readings; a single thread may limit the run.",
                "",
            )
        used, total = during(run, node, "mem", "used_bytes"), during(run, node, "mem", "total_bytes")
        if len(used) and used.max() > 0.95 * total.max():
            yield Insight(f"{node}: memory was {100 * used.max() / total.max():.0f} % full.", "warn")


def _faults(run: RunData) -> Iterator[Insight]:
    if run.samples.retried:
        yield Insight(f"{run.samples.retried:,} samples were given to another worker after a fault.", "warn")
    for lost in run.session.lost_workers:
        when = f" at {lost.time_s:,.0f} s" if lost.time_s is not None else ""
        yield Insight(f"Worker {lost.worker} was lost{when}: {lost.reason}.", "bad")
    if run.samples.lost:
        yield Insight(f"{run.samples.lost:,} samples were lost.", "bad")


def outstanding(events: Events, at: Floats) -> Floats:
    """Samples issued and not completed at each time of ``at``."""
    return np.asarray(
        np.searchsorted(np.sort(events.issue), at, side="right")
        - np.searchsorted(np.sort(events.complete), at, side="right"),
        dtype=np.float64,
    )


def tokens_by_worker(events: Events) -> tuple[list[int], Floats]:
    """Ids of the workers that completed samples, and the tokens each of them generated."""
    ids, at = np.unique(events.worker, return_inverse=True)
    return [int(i) for i in ids], np.bincount(at, weights=events.output_tokens).astype(np.float64)


def during(run: RunData, node: str, source: str, name: str) -> Floats:
    """The readings of one series inside the test's window; empty if there are none."""
    at, value = (run.metrics or {}).get((node, source, name), (np.empty(0), np.empty(0)))
    start, end = window(run.session)
    return value[(at >= start) & (at <= end)]
