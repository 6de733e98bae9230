"""The engine's steps by what was in them, where the run recorded them (``engine.args.step_log``)."""

from __future__ import annotations

from dataclasses import dataclass

from harness.inventory.floors import in_words
from harness.report.load import RunData

DECODE = "decode"


@dataclass(frozen=True)
class StepMeans:
    """Of one class (:func:`sut.engines.vllm_steps.kind`): how many, and their means."""

    kind: str
    count: int
    ms: float
    tokens: float
    requests: float


def steps(run: RunData) -> list[StepMeans]:
    """All workers' steps together: those that only decode first, the others by their tokens. Empty if not recorded."""
    sums: dict[str, list[float]] = {}
    for facts in (run.result or run.session).engine_live_facts.values():
        for kind, found in (facts.get("steps") or {}).items():
            of_kind = sums.setdefault(kind, [0.0] * 4)
            for i, name in enumerate(("count", "mean_ms", "mean_tokens", "mean_requests")):
                of_kind[i] += found[name] * (found["count"] if i else 1)
    found = [
        StepMeans(kind, int(n), ms / n, tokens / n, requests / n) for kind, (n, ms, tokens, requests) in sums.items()
    ]
    return sorted(found, key=lambda s: (s.kind != DECODE, s.tokens))


def three_numbers(run: RunData) -> str | None:
    """What a step takes, by regression over all workers' steps, beside the card's floors."""
    record = run.result or run.session
    return in_words(record.engine_live_facts, record.engine)
