"""Accuracy of a point: all five scores there and within the closed division's bounds, on the whole data set.

The official checker passes over a score that is missing.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.endpoints.check.files import Point
from harness.endpoints.check.sources import RULES
from harness.rounds import ENDPOINTS
from harness.rundir.endpoints import AccuracyEntry
from harness.submission.check.base import Checks, Problem

accuracy_rules: Checks[Point] = Checks()


@accuracy_rules.rule("point.scores", source=f"{RULES}, 4.3")
def scores_reach_the_targets(point: Point) -> Iterator[Problem]:
    if point.expected and point.expected.rehearsal:
        return
    for entry in point.accuracy.accuracy() if point.accuracy else []:
        scores = entry.scores()
        if missing := [name for name in ENDPOINTS.benchmark.targets if name not in scores]:
            yield point.accuracy_path, f"{', '.join(missing)} is missing: all five scores are needed"
        else:
            yield from ((point.accuracy_path, text) for text in ENDPOINTS.benchmark.shortfalls(scores))


@accuracy_rules.rule("point.scored-samples", source=f"{RULES}, 4.3 and 6.4")
def whole_data_set_was_scored(point: Point) -> Iterator[Problem]:
    rows = point.expected.data_set if point.expected else ENDPOINTS.samples
    if point.expected and point.expected.accuracy and not point.scored:
        yield point.accuracy_path, "holds no accuracy run, which is due at this point"
    for entry in point.accuracy.accuracy() if point.accuracy else []:
        yield from ((point.accuracy_path, text) for text in _counts(entry, rows))


def _counts(entry: AccuracyEntry, rows: int) -> Iterator[str]:
    scored = entry.scores().get("gen_num")
    for name, found in (
        ("unit_samples", entry.unit_samples),
        ("total_samples", entry.total_samples),
        ("gen_num", scored),
    ):
        if found is None or int(found) != rows:
            yield f"{name} is {found}; the data set has {rows:,} rows"
    if entry.complete is not True:
        yield "the accuracy run is not complete"
    counts = entry.response_counts
    if counts and (counts.empty or counts.missing):
        yield f"{counts.empty or 0:,} answers are empty, {counts.missing or 0:,} are missing"
