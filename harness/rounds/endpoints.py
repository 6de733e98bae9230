"""MLPerf Endpoints v1.0, Llama-3.1-8B-Instruct: what MLCommons sets for it. Nothing here is a choice of this project.

Sources: mlcommons/endpoints_policies ``endpoints_rules.md`` (rules below, a draft of v1.0),
``endpoints_submission_rules.md`` and ``seedset.yaml`` (seeds); the checker that MLCommons publishes on PyPI as
``endpoints-submission-cli``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.rounds.base import BenchmarkRules
from harness.rounds.v6_1 import DATACENTER


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedSet:
    """``cohorts``: the publications that may use it: the one that it was published for and the next three."""

    name: str
    cohorts: tuple[str, ...]
    scheduler: int
    sample_index: int
    model: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointsRound:
    """All numbers that a point or a curve is judged by.

    ``client_commit``: of mlcommons/endpoints, the client that this project drives; ``checker``: version of the official
    checker. ``preset``: the client's name of the data set with the benchmark's prompt. ``low``: the highest concurrency
    of the Ultra Low region. ``min_duration_ms``: up to ``low``, and above it. ``min_passes``: over the data set, of a
    steady window. ``offline_share``: of the throughput at C_max that a dedicated Offline run must reach.
    """

    version: str
    client_commit: str
    checker: str
    model_name: str
    dataset: str
    preset: str
    benchmark: BenchmarkRules
    low: int
    min_duration_ms: tuple[int, int]
    min_passes: int
    min_points: Mapping[str, int]
    max_points: int
    offline_share: float
    margin: float
    seed_sets: tuple[SeedSet, ...]

    @property
    def samples(self) -> int:
        """Samples of the data set."""
        return self.benchmark.samples

    def duration_ms(self, concurrency: int) -> int:
        """The minimum time of a point."""
        return self.min_duration_ms[concurrency > self.low]

    @property
    def cohorts(self) -> tuple[str, ...]:
        """Every cohort whose seeds are known."""
        return tuple(cohort for seeds in self.seed_sets for cohort in seeds.cohorts)

    def seeds_of(self, cohort: str) -> SeedSet | None:
        """The newest set that a cohort may use."""
        return next((seeds for seeds in reversed(self.seed_sets) if cohort in seeds.cohorts), None)


ENDPOINTS = EndpointsRound(
    version="v1.0",
    client_commit="ea3327530376fef63d706f4105612e17c2c80a8d",
    checker="1.5.3.0",
    model_name="llama3_1-8b",  # the checker's spelling; with a dot it is refused
    dataset="cnn_dailymail",
    preset="cnn_dailymail::llama3_8b",
    benchmark=DATACENTER,  # its accuracy targets and data set are those of MLPerf Inference
    low=32,  # rules, 5.4
    min_duration_ms=(600_000, 1_200_000),  # rules, 6.2
    min_passes=4,  # rules, 4.4
    min_points={"dedicated": 8, "elected": 7},  # rules, 5.3
    max_points=32,
    offline_share=0.98,  # rules, 5.7.2
    margin=1.10,  # rules, 5.4
    seed_sets=(
        SeedSet(  # seedset.yaml; submission rules, 4.6
            name="A",
            cohorts=("2026-10-C1", "2026-11-C0", "2026-11-C1", "2026-12-C0"),
            scheduler=10487924139932647040,
            sample_index=586478644936801402,
            model=9315206023656308754,
        ),
    ),
)
