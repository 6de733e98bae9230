"""The document of a cluster's benchmarks, in the order in which a reader asks: what came out, where, how much, why."""

from __future__ import annotations

from harness.report.document import Section
from harness.report.load import RunData
from harness.report.sections.execution import (
    conclusions,
    environment,
    infrastructure,
    parts,
    quality,
    results,
    scaling,
    summary,
)


def sections(run: RunData) -> list[Section]:
    """Every section, also those about which nothing is known: that too is an answer."""
    record = run.record.execution
    if record is None:
        return []
    return [
        summary.section(record),
        environment.section(record),
        parts.section(record),
        results.together(record),
        results.by_node(record, run.directory),
        scaling.section(record),
        results.tokens(record),
        quality.section(record),
        infrastructure.section(record),
        conclusions.issues(record),
        conclusions.advice(record),
        conclusions.conclusion(record),
    ]
