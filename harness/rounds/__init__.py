"""What MLCommons sets anew for each round: seeds, limits, counts, targets. One file per round, one round in force.

To move to the next round: copy the newest file, change its numbers, and name it here. ``ENDPOINTS`` is the other
benchmark's (MLPerf Endpoints), which has cohorts in place of rounds.
"""

from __future__ import annotations

from harness.rounds import v6_1
from harness.rounds.base import BenchmarkRules, Limits, Round, Target
from harness.rounds.endpoints import ENDPOINTS, EndpointsRound, SeedSet

ROUND: Round = v6_1.ROUND

__all__ = ["ENDPOINTS", "ROUND", "BenchmarkRules", "EndpointsRound", "Limits", "Round", "SeedSet", "Target"]
