"""Our gate for a point and for a whole tree: what the official checker tests, and what it lets pass.

The official checker stays the authority on a tree; it does not see failed requests inside the completed ones when the
client counted none, a score that is missing, passes that are not whole, or a short run (which it only warns of).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.endpoints.check.accuracy import accuracy_rules
from harness.endpoints.check.config import config_rules
from harness.endpoints.check.curve import curve_rules
from harness.endpoints.check.description import description_rules
from harness.endpoints.check.files import Curve, Point, Tree
from harness.endpoints.check.layout import layout_rules
from harness.endpoints.check.measured import measured_rules
from harness.endpoints.check.point import point_rules
from harness.loadgen.rules import Rule
from harness.submission.check.base import Checks, Severity, TreeFinding
from mlperf_llama_base.errors import UserError

RUN = (measured_rules, config_rules, accuracy_rules)
"""What the client's files of one run say, without anything around them."""
POINT = (*RUN, point_rules)
GROUPS: tuple[Checks[Any], ...] = (*POINT, description_rules, curve_rules, layout_rules)

__all__ = ["Curve", "Point", "Severity", "Tree", "TreeFinding", "check_tree", "judge_point", "rules"]


def rules() -> list[Rule[Any, Any]]:
    """Every rule that is checked."""
    return [rule for group in GROUPS for rule in group.rules]


def judge_point(point: Point) -> list[TreeFinding]:
    """What is wrong with one run of ours; here also what a file does not show counts, since the client shows it."""
    return list(_of(point, RUN, point.path))


def check_tree(root: Path) -> list[TreeFinding]:
    """Check the submission at ``root`` (``<organization>/<submission>``, or the organization's), worst findings first.

    Raises ``UserError`` where no Endpoints submission lies.
    """
    if not root.is_dir():
        raise UserError(f"{root} is not a directory: give the directory of a submission")
    found = [path for path in (root, *sorted(root.glob("*")), *sorted(root.glob("*/*"))) if (path / "results").is_dir()]
    if not found:
        raise UserError(f"{root} holds no Endpoints submission: no results/ with a system in it")
    findings = [finding for path in found for finding in _of_tree(Tree(path.resolve()))]
    order = list(Severity)
    return sorted(dict.fromkeys(findings), key=lambda f: (order.index(f.severity), f.path, f.rule))


def _of_tree(tree: Tree) -> Iterator[TreeFinding]:
    yield from _of(tree, (layout_rules,), tree.root)
    for curve in tree.curves:
        yield from curve_rules.run(curve, root=tree.root, fallback=curve.path)
        for point in curve.points:
            yield from _of(point, (*POINT, description_rules), tree.root)


def _of(subject: Point | Tree, groups: tuple[Checks[Any], ...], root: Path) -> Iterator[TreeFinding]:
    for checks in groups:
        yield from checks.run(subject, root=root, fallback=subject.path)
