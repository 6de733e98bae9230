"""What the runs of one submission must share, and the times at which they can have been.

Accuracy, performance and compliance are runs of the same code on the same system (inference_rules.adoc, LoadGen
Operation); a system measures one thing at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.submission.runs import Run

SAME_CODE = ("model", "engine", "dispatch", "workers")  # of config.yaml
CLOCKS = timedelta(days=1)  # by which two machines' clocks may differ, time zones included


def _engine(key: str) -> Callable[[Run], Any]:
    return lambda run: getattr(run.result.engine, key, None)


def _machines(run: Run) -> str:
    """Workers and accelerators by kind: ``8 workers, 8 x NVIDIA H100``."""
    workers = run.result.workers
    gpus: Counter[str] = Counter()
    for worker in workers:
        if worker.gpu:
            gpus[worker.gpu] += len(worker.gpus or [0])
    return ", ".join([f"{len(workers)} workers", *(f"{count} x {name}" for name, count in sorted(gpus.items()))])


OF_THE_SCENARIO: dict[str, Callable[[Run], Any]] = {
    "engine name": _engine("name"),
    "engine version": _engine("version"),
    "engine weight_dtype": _engine("weight_dtype"),
    "engine kv_cache_dtype": _engine("kv_cache_dtype"),
    "workers": _machines,
}
OF_THE_SYSTEM: dict[str, Callable[[Run], Any]] = {
    "model digest": lambda run: run.result.model and run.result.model.digest,
    "dataset sha256": lambda run: run.result.dataset and run.result.dataset.sha256,
    "LoadGen": lambda run: run.result.versions.get("loadgen"),
}


def within(runs: Iterable[Run]) -> Iterator[str]:
    """What differs between the runs of one scenario."""
    first, *others = runs
    for other in others:
        for part in SAME_CODE:
            if first.config.get(part) != other.config.get(part):
                pair = f"{first.name} and {other.name}"
                yield f"{pair} ran with different {part} settings: the rules ask for the same code"
        yield from _facts(first, other, OF_THE_SCENARIO)


def across(runs: Iterable[Run]) -> Iterator[str]:
    """What differs between the runs of one system, whatever their scenario."""
    first, *others = runs
    for other in others:
        yield from _facts(first, other, OF_THE_SYSTEM)


def _facts(first: Run, other: Run, facts: dict[str, Callable[[Run], Any]]) -> Iterator[str]:
    for what, fact in facts.items():
        ours, theirs = fact(first), fact(other)
        if ours != theirs:
            yield f"{first.name} and {other.name} ran with different {what}: {ours} and {theirs}"


def times(runs: Iterable[Run], *, now: datetime | None = None) -> Iterator[str]:
    """Runs that were at the same time on one machine, or are yet to come."""
    latest = (now or datetime.now(UTC)) + CLOCKS
    spans = {run.path: (run, *span) for run in runs if (span := _span(run))}
    for run, _, end in spans.values():
        if end > latest:
            yield f"{run.name} ended at {end:%Y-%m-%d %H:%M}, which is yet to come: set the machine's clock, run again"
    for (one, begin, end), (other, began, ended) in combinations(spans.values(), 2):
        shared = set(one.nodes) & set(other.nodes)
        if shared and begin < ended and began < end:
            yield f"{one.name} and {other.name} ran at the same time on one machine ({min(shared)})"


def _span(run: Run) -> tuple[datetime, datetime] | None:
    """Begin and end; the gate says where they are missing."""
    try:
        begin, end = (datetime.fromisoformat(str(at)) for at in (run.result.test_started, run.result.test_ended))
    except ValueError:
        return None
    return (begin, end) if begin.tzinfo and end.tzinfo else None
