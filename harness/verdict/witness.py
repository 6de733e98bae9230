"""events.parquet as second witness: what the workers' answers were, against what LoadGen's log says of them.

Both clocks run alike, but ours is inside of LoadGen's: it starts when the callback does (LoadGen has made its sample
lists by then: a microsecond for each, which Offline sees) and ends when an answer has arrived, before it is handed
on with what came together with it (a fraction of a millisecond, on a busy two-core machine a few). So a latency of
ours is never above LoadGen's, and little below.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from harness.config import Mode, Scenario
from harness.loadgen.keys import FAMILIES, PERCENTILES
from harness.loadgen.rules.base import SUBMISSION, Weight
from harness.loadgen.rules.sources import LOADGEN
from harness.rundir import names
from harness.rundir.events import Events
from harness.rundir.record import Evidence
from harness.rundir.session import Process
from harness.verdict.book import OURS, RECORD
from mlperf_llama_base.errors import HarnessError
from sut import engines

BEYOND = 10  # samples above a percentile that is compared: a single one is anybody's
ABOVE_S, ABOVE_SHARE = 1e-3, 1e-3  # by which ours may exceed LoadGen's: rounding, and the steps of a clock
BELOW_S, BELOW_SHARE, EACH_S = 0.02, 0.05, 10e-6  # by which it may fall short: see above, EACH_S for each of a query
TPOT_S, TPOT_SHARE = 2e-3, 0.05  # both its ends are handed over
SPAN_S, SPAN_SHARE = 0.25, 0.005  # of a Server test
AT_WORK = 0.9  # of the time, or of the processors: there is no more to be had
LATE_SHARE, WAITED_S = 0.01, 0.1  # of the queries; far above what is waited for a turn of the dispatcher
TOKENS_SHARE = 1e-4  # the logged rates have six digits
Pair = tuple[str, float, float]  # what is compared; ours, LoadGen's


@RECORD.rule("evidence.witness", source=f"{OURS}; {LOADGEN}/results.cc", breaks=SUBMISSION)
def the_witness_does_not_contradict(run: Evidence) -> Iterator[str]:
    """Counts, spans and latencies that LoadGen cannot have seen so."""
    events = _events(run)
    if events is None:
        return
    count, tokens, given = run.detail.sample_count, run.detail.token_count, int(events.output_tokens.sum())
    if count != len(events):
        yield f"LoadGen judged {count} samples, {names.EVENTS} has {len(events)}"
    if tokens is not None and abs(tokens - given) > TOKENS_SHARE * given:
        yield f"LoadGen counted about {tokens:,.0f} tokens, {names.EVENTS} has {given:,}"
    for what, ours, logged in _spans(run, events):
        if abs(ours - logged) > SPAN_S + SPAN_SHARE * logged:
            yield f"{what} is {logged:,.3f} s by LoadGen, {ours:,.3f} s in {names.EVENTS}"
    for what, ours, logged in _latencies(run, events):
        if ours > logged * (1 + ABOVE_SHARE) + ABOVE_S:
            yield f"LoadGen's {what} is {logged * 1e3:,.3f} ms, {names.EVENTS} has {ours * 1e3:,.3f} ms"
    for what, ours, logged in _of_family("TPOT", run, events.tpot):
        if abs(ours - logged) > TPOT_SHARE * max(ours, logged) + TPOT_S:
            yield f"LoadGen's {what} is {logged * 1e3:,.3f} ms, {names.EVENTS} has {ours * 1e3:,.3f} ms"


@RECORD.rule("evidence.hand-over", source=OURS, breaks=frozenset(), weight=Weight.EXPLAIN)
def answers_were_handed_over_at_once(run: Evidence) -> Iterator[str]:
    """What lies between an answer and LoadGen is the harness, not the system: on a starved machine it is much."""
    events = _events(run)
    found = [] if events is None else list(_latencies(run, events))
    query = run.detail.number("generated_samples_per_query") or 1.0
    for what, ours, logged in found:
        if logged - ours > BELOW_SHARE * logged + BELOW_S + EACH_S * query:
            yield (
                f"LoadGen's {what} is {logged * 1e3:,.1f} ms, the answers had arrived after {ours * 1e3:,.1f} ms: the "
                "machine that runs LoadGen was busy, or the log was changed"
            )
            return


@RECORD.rule("evidence.host", source=OURS, breaks=frozenset(), weight=Weight.EXPLAIN)
def the_host_kept_up(run: Evidence) -> Iterator[str]:
    """Who asks for more than the host with LoadGen can dispatch measures that host, and not his GPUs."""
    events, process = _events(run), run.ran.process
    if events is None or process is None or not (found := list(_signs(run, process, count=len(events)))):
        return
    if run.scenario is Scenario.OFFLINE:
        yield f"the host with LoadGen was the limit, not the GPUs: {found[0]}"
        return
    waited = float(np.quantile(events.dispatch - events.issue, 0.99))
    if waited > WAITED_S:
        yield (
            f"asked for more than the host can dispatch: {'; '.join(found)}. A query waited {waited:,.1f} s (99th "
            "percentile) before a worker had it, and that was not for the GPUs: lower the rate, or run LoadGen on more "
            "or faster cores"
        )


def _signs(run: Evidence, process: Process, *, count: int) -> Iterator[str]:
    """What tells that the host could do no more."""
    if (process.dispatch_share or 0.0) >= AT_WORK:
        yield f"the thread that dispatches was at work {process.dispatch_share:.0%} of the test"
    if run.scenario is Scenario.OFFLINE:
        return
    if (late := process.dispatched_late or 0) > LATE_SHARE * count:
        yield f"{late:,} of {count:,} queries were handed out late although workers had room"
    used, span = process.test_cpu_all_s, run.ran.wall_s
    if used and span and process.cores and not _computes_here(run) and used / span >= AT_WORK * process.cores:
        yield f"LoadGen and the workers' processes used {used / span / process.cores:.0%} of the host's processors"


def _computes_here(run: Evidence) -> bool:
    """The model runs on the host's own processors, as far as is known: it may have them all."""
    engine = run.ran.engine
    if any(worker.gpu for worker in run.ran.workers):
        return False
    try:
        return engine is None or engine.name is None or engines.find(engine.name).uses_gpu
    except HarnessError:  # an engine from outside that is not installed here
        return True


def _events(run: Evidence) -> Events | None:
    """Those of a whole performance run of ours."""
    ended = run.session is not None and run.session.outcome == "completed" and run.detail.finished
    events = run.events if ended and run.mode is Mode.PERFORMANCE and run.has_its_events else None
    return events if events is not None and len(events) else None


def _spans(run: Evidence, events: Events) -> Iterator[Pair]:
    count, last = run.detail.sample_count or 0, int(np.argmax(events.issue))
    scheduled, completed = (run.detail.number(f"result_{name}_samples_per_sec") for name in ("scheduled", "completed"))
    if run.detail.text("effective_scenario") == "Server" and scheduled and completed and count > 1:
        yield "the schedule", float(events.issue[last]), (count - 1) / scheduled
        yield "the time to the last query's end", float(events.complete[last]), (count - 1) / completed


def _latencies(run: Evidence, events: Events) -> Iterator[Pair]:
    yield from _of_family("latency", run, events.latency)
    yield from _of_family("TTFT", run, events.ttft)


def _of_family(name: str, run: Evidence, seconds: npt.NDArray[np.float64]) -> Iterator[Pair]:
    """Mean and percentiles in s, taken as LoadGen takes them: the value at ``int(count x p)`` of the sorted ones."""
    if not len(seconds) or not np.isfinite(seconds).all():
        return
    ordered, count = np.sort(seconds), len(seconds)
    simple, percentile = FAMILIES[name]
    pairs = [(f"mean {name}", float(ordered.mean()), simple.format("mean"))]
    for part in PERCENTILES:
        at = int(count * float(part) / 100)
        if count - at >= BEYOND:
            pairs.append((f"{name} p{part}", float(ordered[at]), percentile.format(part)))
    for what, ours, key in pairs:
        if (logged := run.detail.number(key)) is not None:
            yield what, ours, logged / 1e9
