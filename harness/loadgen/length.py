"""How long a test will be: LoadGen's own arithmetic, for whoever plans, warns or shows progress.

Source: mlcommons/inference, loadgen/test_settings_internal.cc (counts of Offline and SingleStream), loadgen.cc
GenerateQueries (padding to whole rounds) and issue_query_controller.cc (when a test ends).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from harness.config import Mode, RunConfig, Scenario
from harness.rounds import ROUND

OFFLINE_SLACK, SINGLE_STREAM_SLACK = 1.1, 2.0  # kSlack in test_settings_internal.cc


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a test is set to. ``rate``: expected samples/s (SingleStream: 1 / expected latency). ``block``: samples
    loaded, which equal issue makes whole rounds of. ``max_queries``, ``max_duration_s``: 0 for none.
    """

    scenario: Scenario
    rate: float
    block: int
    min_duration_s: float
    min_queries: int
    max_queries: int = 0
    max_duration_s: float = 0.0
    equal_issue: bool = True

    @property
    def samples(self) -> int:
        """Samples that the test will issue. Server's arrivals are random: it may be a round more or less."""
        if self.scenario is Scenario.OFFLINE:  # one query, which neither max_queries nor max_duration cuts
            return self._whole(max(self.min_queries, int(OFFLINE_SLACK * self.min_duration_s * self.rate)))
        if self.scenario is Scenario.SINGLESTREAM:
            count = self._single_stream()
        else:
            count = self._whole(max(self.min_queries, math.ceil(self.min_duration_s * self.rate), 1))
        if self.max_duration_s:
            count = min(count, max(int(self.max_duration_s * self.rate), 1))
        return min(count, self.max_queries or count)

    @property
    def seconds(self) -> float:
        """How long the test takes at ``rate``; Offline and Server with a system that keeps up with it."""
        return self.samples / self.rate

    def _whole(self, count: int) -> int:
        return math.ceil(count / self.block) * self.block if self.equal_issue else count

    def _single_stream(self) -> int:
        """Twice the queries that fit are mandatory, and then up to a round more, even where that is whole already."""
        if not self.equal_issue:
            return max(self.min_queries, math.ceil(self.min_duration_s * self.rate))
        count = max(self.min_queries, int(SINGLE_STREAM_SLACK * self.min_duration_s * self.rate))
        return count + self.block - count % self.block


def accuracy(*, rate: float, total: int) -> Asked:
    """An accuracy run issues every sample once, however long that takes."""
    return Asked(
        scenario=Scenario.SERVER, rate=rate, block=total, min_duration_s=0.0, min_queries=total, equal_issue=False
    )


def test06(scenario: Scenario, *, rate: float) -> Asked:
    """audit.config turns equal issue off and asks for a count instead of a duration."""
    return Asked(
        scenario=scenario,
        rate=rate,
        block=1,
        min_duration_s=ROUND.audit_settings["min_duration"] / 1e3,
        min_queries=ROUND.audit_settings["min_query_count"],
        equal_issue=False,
    )


def planned(config: RunConfig, rate: float) -> Asked:
    """The test that ``config`` describes, before LoadGen is set up. ``rate`` as in :class:`Asked`."""
    block = config.dataset.limit or config.benchmark.sample_count
    if config.mode is Mode.ACCURACY:
        return accuracy(rate=rate, total=block)
    if config.mode is Mode.COMPLIANCE:
        return test06(config.scenario, rate=rate)
    wanted = config.loadgen
    duration = ROUND.min_duration_ms if wanted.min_duration_ms is None else wanted.min_duration_ms
    least = block if config.scenario is Scenario.OFFLINE else ROUND.min_queries
    return Asked(
        scenario=config.scenario,
        rate=rate,
        block=block,
        min_duration_s=duration / 1e3,
        min_queries=wanted.min_query_count or least,
        max_queries=wanted.max_query_count or 0,
        max_duration_s=(wanted.max_duration_ms or 0) / 1e3,
    )


def set_up(settings: Any, scenario: Scenario, *, block: int) -> Asked:
    """The performance test of LoadGen's ``TestSettings``."""
    if scenario is Scenario.SINGLESTREAM:
        rate = 1e9 / settings.single_stream_expected_latency_ns
    else:
        rate = settings.offline_expected_qps if scenario is Scenario.OFFLINE else settings.server_target_qps
    return Asked(
        scenario=scenario,
        rate=rate,
        block=block,
        min_duration_s=settings.min_duration_ms / 1e3,
        min_queries=settings.min_query_count,
        max_queries=settings.max_query_count,
        max_duration_s=settings.max_duration_ms / 1e3,
        equal_issue=bool(settings.sample_concatenate_permutation),
    )


def full_length(scenario: Scenario, *, rate: float, samples: int) -> Asked:
    """A test as the rules ask for, of a data set of ``samples``."""
    least = samples if scenario is Scenario.OFFLINE else ROUND.min_queries
    return Asked(
        scenario=scenario,
        rate=rate,
        block=samples,
        min_duration_s=ROUND.min_duration_ms / 1e3,
        min_queries=least,
    )
