"""The report's sections. Each module turns one run into sections, and says nothing of what was not recorded."""

from __future__ import annotations

from harness.report.document import Section
from harness.report.load import RunData


def of(run: RunData) -> list[Section]:
    """Every section about one run, the verdict first."""
    from harness.report.sections import accuracy, context, hardware, performance, verdict, workers

    return [
        *verdict.sections(run),
        *context.published_section(run),
        *performance.sections(run),
        *accuracy.sections(run),
        *workers.sections(run),
        *hardware.sections(run),
        *context.tuning_section(run),
        *context.scaling_section(run),
        *context.settings_section(run),
    ]
