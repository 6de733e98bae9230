"""The report's sections. Each module turns one run into sections, and says nothing of what was not recorded."""

from __future__ import annotations

from harness.report.document import Section
from harness.report.load import RunData


def of(run: RunData) -> list[Section]:
    """Every section about one run, the verdict first."""
    from harness.report.sections import (
        accuracy,
        curve,
        execution,
        hardware,
        performance,
        published,
        scaling,
        settings,
        tuning,
        verdict,
        workers,
    )

    if run.record.execution is not None and not run.result:
        return execution.sections(run)
    if run.scaling and not run.result:  # the directory of a whole benchmark, not of one run
        return scaling.sections(run)
    if run.curve and not run.result:
        return curve.sections(run)
    return [
        *verdict.sections(run),
        *published.sections(run),
        *performance.sections(run),
        *accuracy.sections(run),
        *workers.sections(run),
        *hardware.sections(run),
        *tuning.sections(run),
        *scaling.sections(run),
        *settings.sections(run),
    ]
