"""LoadGen's early-stopping rule against values that LoadGen itself prints, and its own run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.loadgen.early_stopping import allowed_over_limit, assess, min_queries, percentile_of
from harness.loadgen.log import DETAIL, parse_detail
from tests.harness.loadgen.real_runs import run_loadgen


@pytest.mark.parametrize(("over", "queries"), [(0, 459), (1, 662), (2, 838), (10, 2010)])
def test_fewest_queries(over: int, queries: int) -> None:
    assert min_queries(over) == queries
    assert allowed_over_limit(queries) == over
    assert allowed_over_limit(queries - 1) == over - 1


@pytest.mark.parametrize(
    ("queries", "allowed"), [(13368, 107), (26736, 229), (66840, 608), (458, -1), (1, -1), (0, -1)]
)
def test_allowed_over_limit(queries: int, allowed: int) -> None:
    assert allowed_over_limit(queries) == allowed


def test_more_queries_never_allow_fewer() -> None:
    allowed = [allowed_over_limit(n) for n in range(400, 4000, 7)]
    assert allowed == sorted(allowed)


def test_single_stream_needs_64_queries() -> None:
    assert min_queries(1, 0.9) == 64
    assert (allowed_over_limit(63, 0.9), allowed_over_limit(64, 0.9)) == (0, 1)


def test_judge() -> None:
    latencies = np.full(13368, 10)
    latencies[:107] = 3000
    good = assess(latencies, 2000)
    assert (good.over, good.allowed, good.met, good.within_limit, good.value_ns) == (107, 107, True, True, 10)
    latencies[107] = 3000
    over = assess(latencies, 2000)
    assert (over.met, over.within_limit) == (False, True)  # the percentile holds, but too narrowly to be sure
    assert over.needed == min_queries(108) > 13368
    latencies[:200] = 3000
    assert not assess(latencies, 2000).within_limit


def test_a_latency_at_the_limit_is_not_over_it() -> None:
    assert assess([2000] * 459, 2000).met


def test_percentile_does_not_interpolate() -> None:
    assert percentile_of(np.arange(100)[::-1], 0.99) == 99
    assert percentile_of(np.arange(1000), 0.5) == 500


@pytest.mark.parametrize("percentile", [0.0, 1.0, -1.0])
def test_percentile_outside_is_refused(percentile: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        allowed_over_limit(1000, percentile)
    with pytest.raises(ValueError, match="between 0 and 1"):
        min_queries(1, percentile)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        min_queries(-1)
    with pytest.raises(ValueError, match="no latencies"):
        assess([], 1)


def test_loadgen_asks_for_as_many_queries(tmp_path: Path) -> None:
    """LoadGen names the queries that a run of 128 lacks; with none over the limit that is 459 in all."""
    settings = {"min_duration_ms": 1, "server_target_qps": 3000, "min_query_count": 128}
    server = run_loadgen(tmp_path, scenario="Server", count=128, attributes=settings)
    log = parse_detail(server / DETAIL)
    lacking = min_queries(0) - (log.integer("result_query_count") or 0)
    assert f"at least {lacking} more queries" in (log.text("early_stopping_tpot_result") or "")
