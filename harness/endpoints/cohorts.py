"""Cohorts: two publications a month, on its first and third Wednesday, each with seeds that it may use.

mlcommons/endpoints_policies endpoints_submission_rules.md, 4.2 and 4.6.
"""

from __future__ import annotations

import datetime
import re

from harness.rounds import ENDPOINTS, SeedSet
from mlperf_llama_base.errors import UserError

WEDNESDAY = 2
FORM = re.compile(r"(\d{4})-(0[1-9]|1[0-2])-C([01])")


def published(cohort: str) -> datetime.date:
    """The day of a cohort. Raises ``UserError`` for what is none."""
    found = FORM.fullmatch(cohort)
    if found is None:
        raise UserError(f"--cohort {cohort!r} is no cohort: expected YYYY-MM-C0 or YYYY-MM-C1")
    year, month, index = map(int, found.groups())
    first = datetime.date(year, month, 1)
    return first + datetime.timedelta(days=(WEDNESDAY - first.weekday()) % 7 + 14 * index)


def next_cohort(today: datetime.date) -> str:
    """The first cohort that is still to come and whose seeds are known; the last known one where there is none."""
    return next((c for c in ENDPOINTS.cohorts if published(c) >= today), ENDPOINTS.cohorts[-1])


def seeds_of(cohort: str) -> SeedSet:
    """The seeds of a cohort. Raises ``UserError`` where none are known: its set must be published first."""
    published(cohort)
    seeds = ENDPOINTS.seeds_of(cohort)
    if seeds is None:
        raise UserError(
            f"no seeds are known for cohort {cohort} (known: {', '.join(ENDPOINTS.cohorts)}): MLCommons publishes "
            "them in endpoints_policies seedset.yaml; an update of mlperf-llama brings them"
        )
    return seeds
