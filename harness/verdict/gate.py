"""The gate: says of every run whether it counts, and whether it could be submitted, with reasons.

``valid``: LoadGen and the rules say that this run counts for what it is. A short run on a demo model may be valid.
``submittable``: it could go into a closed submission. The official checker lets runs pass that break the rules
(INVALID verdicts, error lines, Interactive judged by Server's limits: mlcommons/inference,
submission_checker/checks/performance_check.py); the gate does not. A reason against validity is also one against
submission; it is listed once, under ``invalid_reasons``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.rundir.record import Evidence
from harness.verdict import measurement, record, scale

Check = Callable[[Evidence], Iterator[str]]


@dataclass(frozen=True)
class Verdict:
    """``valid`` and ``submittable`` follow from the reasons alone."""

    invalid_reasons: list[str]
    not_submittable_reasons: list[str]

    @property
    def valid(self) -> bool:
        return not self.invalid_reasons

    @property
    def submittable(self) -> bool:
        return self.valid and not self.not_submittable_reasons


def judge(run: Evidence) -> Verdict:
    """Apply every check to the saved files of a run."""
    return Verdict(_reasons(run, (*record.CHECKS, *measurement.CHECKS)), _reasons(run, scale.CHECKS))


def _reasons(run: Evidence, checks: tuple[Check, ...]) -> list[str]:
    return list(dict.fromkeys(reason for check in checks for reason in check(run)))
