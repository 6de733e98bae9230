"""What MLCommons sets anew for each round: seeds, limits, counts, targets. One file per round, one round in force.

To move to the next round: copy the newest file, change its numbers, and name it here.
"""

from __future__ import annotations

from harness.rounds import v6_1
from harness.rounds.base import BenchmarkRules, Limits, Round, Target

ROUND: Round = v6_1.ROUND

__all__ = ["ROUND", "BenchmarkRules", "Limits", "Round", "Target"]
