"""What a line about a run has, whatever command prints it: what became of it, and its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from harness.rundir.result import Result

Of = Callable[[Result], float | None]


class Verdict(StrEnum):
    """What became of a run, in a word for scripts."""

    VALID = "valid"
    TOO_SHORT = "too-short"
    NOT_VALID = "not-valid"
    RUNNING = "running"
    REFUSED = "refused"
    BROKE = "broke"

    @property
    def words(self) -> str:
        long = {"too-short": "too short for a verdict", "not-valid": "not valid", "refused": "refused by pre-flight"}
        return long.get(self.value, self.value)


@dataclass(frozen=True)
class Figure:
    """``field``: for scripts. ``head``: for people."""

    field: str
    head: str
    of: Of


def _part(section: str, key: str) -> Of:
    return lambda result: getattr(getattr(result, section), key, None)


FIGURES = (
    Figure("samples_per_second", "samples/s", lambda result: result.samples_per_second),
    Figure("tokens_per_second", "tokens/s", lambda result: result.tokens_per_second),
    Figure("ttft_p99_ms", "TTFT p99 ms", _part("ttft_ms", "p99")),
    Figure("tpot_p99_ms", "TPOT p99 ms", _part("tpot_ms", "p99")),
    Figure("latency_p90_ms", "latency p90 ms", _part("latency_ms", "p90")),
    Figure("rouge1", "ROUGE-1", _part("accuracy", "rouge1")),
    Figure("rouge2", "ROUGE-2", _part("accuracy", "rouge2")),
    Figure("rougeL", "ROUGE-L", _part("accuracy", "rougeL")),
    Figure("rougeLsum", "ROUGE-Lsum", _part("accuracy", "rougeLsum")),
)
ENERGY = Figure("joules_per_sample", "J a sample", _part("energy", "joules_per_sample"))
