"""How much the figures can bear: tests that are short, that did not start together, whose answers were cut off."""

from __future__ import annotations

from collections.abc import Iterator

from harness.rounds import ROUND
from harness.rundir.execution import ExecutionRecord
from harness.rundir.execution_results import Finding
from harness.text import number

SHORT_S = 60.0
APART = 0.01  # of the test
APART_MS = 20.0  # a start that is told to all within milliseconds is together, however short the test
CUT = 0.5


def too_short(record: ExecutionRecord) -> Iterator[Finding]:
    """A test of seconds: filling and draining are most of it."""
    for result in record.results:
        if result.seconds is None or result.seconds >= SHORT_S:
            continue
        yield Finding(
            rule="short-test",
            severity="note",
            topic="measurement",
            text=f"{result.part}: the test took {result.seconds:.1f} s with {number(result.samples_completed)} "
            "samples: a check that everything works, not a measurement of speed.",
            figures={"seconds": result.seconds, "samples": result.samples_completed},
            advice="For figures to quote, run with the whole data set (a submission needs ten minutes at least).",
            part=result.part,
        )


def smaller_batches(record: ExecutionRecord) -> Iterator[Finding]:
    """Short tests whose workers had fewer samples each than the baseline's: an engine is slower with fewer at once."""
    baselines = record.scaling.baselines if record.scaling else []
    alone = max((b.samples_completed for b in baselines if b.samples_completed), default=0)
    for result in record.results:
        each = result.samples_completed / result.workers if result.workers else 0.0
        if not each or each >= alone or result.seconds is None or result.seconds >= SHORT_S or result.samples_lost:
            continue
        yield Finding(
            rule="smaller-batches",
            severity="note",
            topic="measurement",
            text=f"{result.part}: a worker had {number(each)} samples, the baseline's {number(alone)}: with fewer at "
            "once an engine is slower, whatever the cluster does.",
            figures={"samples_per_worker": each, "samples_of_baseline": alone},
            advice="Give the tests more samples (--samples), so that the engines' batches are full in all of them.",
            part=result.part,
        )


def apart_at_the_start(record: ExecutionRecord) -> Iterator[Finding]:
    """LoadGens that did not begin together measured partly without the others."""
    for result in record.results:
        spread, seconds = result.start_spread_ms, result.seconds
        if spread is None or not seconds or result.part != "coordinated":
            continue
        if spread <= APART_MS or spread / 1e3 / seconds <= APART:
            continue
        yield Finding(
            rule="late-start",
            severity="warning",
            topic="measurement",
            text=f"{result.part}: the LoadGens began {spread:,.0f} ms apart, {100 * spread / 1e3 / seconds:.1f} % "
            "of the test, by one clock.",
            figures={"start_spread_ms": spread, "seconds": seconds},
            advice="Synchronise the nodes' clocks; a longer test makes it count less.",
            part=result.part,
        )


def cut_off(record: ExecutionRecord) -> Iterator[Finding]:
    """Answers that end because they may not be longer, where the limit is not the benchmark's."""
    for result in record.results:
        found, limit = result.quality, record.environment.max_new_tokens
        if found is None or found.at_limit is None or not found.responses or found.at_limit / found.responses < CUT:
            continue
        if limit is not None and limit >= ROUND.max_new_tokens:  # the benchmark's own, which most responses reach
            continue
        yield Finding(
            rule="cut-off",
            severity="note",
            topic="measurement",
            text=f"{result.part}: {number(found.at_limit)} of {number(found.responses)} responses were cut off at "
            f"{number(limit)} tokens.",
            figures={"at_limit": found.at_limit, "responses": found.responses, "max_new_tokens": limit},
            advice="The benchmark's own limit is engine.max_new_tokens=128; with a smaller one the figures compare "
            "with nothing published.",
            part=result.part,
        )
