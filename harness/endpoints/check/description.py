"""system_desc.json of a point: complete, and that all accelerators it names did work."""

from __future__ import annotations

from collections.abc import Iterator

from harness.endpoints.check.files import Point
from harness.endpoints.check.sources import RULES
from harness.loadgen.rules import Weight
from harness.submission.check.base import Checks, Problem

PARALLEL = ("tensor_parallel", "pipeline_parallel", "expert_parallel", "data_parallel")

description_rules: Checks[Point] = Checks()


@description_rules.rule("point.description", source=f"{RULES}, 8.2")
def description_is_valid(point: Point) -> Iterator[Problem]:
    if point.description:
        yield from ((point.description_path, text) for text in point.description.faults())


@description_rules.rule("point.engagement", source=f"{RULES}, 4.5.3 and 8.3")
def all_accelerators_worked(point: Point) -> Iterator[Problem]:
    found, config = point.description, point.config
    if found is None or config is None or not found.accelerators:
        return
    if missing := [name for name in PARALLEL if getattr(found, name) is None]:
        yield point.description_path, f"{', '.join(missing)} missing: nobody can see that all accelerators worked"
        return
    share = (found.tensor_parallel or 1) * (found.pipeline_parallel or 1) * (found.expert_parallel or 1)
    replicas = found.accelerators // share
    if (found.data_parallel or 0) < replicas and not config.dp_shortfall and not config.nodes_used:
        yield (
            point.description_path,
            f"data_parallel is {found.data_parallel}: {found.accelerators} accelerators make {replicas} replicas, and "
            "point.yaml gives no dp_shortfall",
        )


@description_rules.rule("point.framework", source=f"{RULES}, 8.2", weight=Weight.NOTE)
def engine_is_named(point: Point) -> Iterator[Problem]:
    if point.description and not point.description.serving_framework:
        yield point.description_path, "serving_framework is not given"
