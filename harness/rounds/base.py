"""The shape of a round's data. Scenarios and benchmarks are keyed by their names (``harness.config`` has the enums)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A score (ROUGE x 100, or characters) of the reference and the closed division's bounds on it."""

    reference: float
    minimum: float
    maximum: float | None = None


class Limits(NamedTuple):
    """Latency limits in ns, at the 99th percentile."""

    ttft: int
    tpot: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRules:
    """One benchmark of the round.

    ``directory``: its name in a submission tree; ``aliases``: other names that the official checker takes for it.
    ``models``: LoadGen's model name of each scenario, which selects the limits in mlperf.conf. ``one_of``: at least one
    of these scenarios beside the ``required`` ones. ``test06``: whether the official checker asks for TEST06 in closed.
    """

    directory: str
    aliases: tuple[str, ...]
    samples: int
    required: tuple[str, ...]
    one_of: tuple[str, ...]
    models: Mapping[str, str]
    targets: Mapping[str, Target]
    test06: bool

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Every scenario that this benchmark knows."""
        return self.required + self.one_of

    def shortfalls(self, scores: Mapping[str, float]) -> list[str]:
        """One line for each score (ROUGE x 100, ``gen_len`` in characters) outside the closed division's bounds."""
        lines = []
        for name, target in self.targets.items():
            value = scores[name]
            if value < target.minimum:
                lines.append(f"{name} {value:,.10g} is below the target {target.minimum:,.10g}")
            if target.maximum is not None and value > target.maximum:
                lines.append(f"{name} {value:,.10g} is above the upper limit {target.maximum:,.10g}")
        return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """All numbers of a round that a run or a submission is judged by.

    ``seeds``: detail log key -> value. ``limits_ns``: scenario -> latency limits. ``percentiles``: LoadGen's scenario
    name -> the percentile that it must judge. ``min_queries``: of a test whose scenario has no count of its own.
    ``max_target_latency_ns``: the official checker's bound on Server's (unused) target latency. ``audit_settings``:
    TEST06's audit.config. ``others``: system type -> the benchmarks of other models that the official checker knows for
    it; ``guesses``: part of a directory's name -> the one that it takes such a directory for.
    """

    version: str
    min_loadgen: tuple[int, ...]
    seeds: Mapping[str, int]
    min_duration_ms: int
    min_queries: int
    min_new_tokens: int
    max_new_tokens: int
    limits_ns: Mapping[str, Limits]
    percentiles: Mapping[str, float]
    max_target_latency_ns: int
    audit_settings: Mapping[str, int]
    benchmarks: Mapping[str, BenchmarkRules]
    others: Mapping[str, frozenset[str]]
    guesses: Mapping[str, str]

    @property
    def audited_samples(self) -> int:
        """Samples that TEST06 issues and logs."""
        return self.audit_settings["accuracy_log_sampling_target"]

    @property
    def models(self) -> tuple[str, ...]:
        """LoadGen's names of this model, each once."""
        return tuple(dict.fromkeys(name for b in self.benchmarks.values() for name in b.models.values()))
