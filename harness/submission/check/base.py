"""Findings of the tree checker: what a rule found, and in which file. Rules: ``harness.loadgen.rules``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from harness.loadgen.rules import Book, Rule, Weight

Problem = tuple[Path, str]
Subject = TypeVar("Subject")


class Severity(StrEnum):
    """``ERROR``: the submission would be refused or breaks a rule. ``WARNING``: a reviewer will ask. ``NOTE``: not
    checked, or good to know.
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeFinding:
    """One thing that is wrong. ``path`` is relative to the tree's root; ``source`` names the public rule."""

    weight: Weight
    rule: str
    path: str
    message: str
    source: str

    @property
    def severity(self) -> Severity:
        """The weight in one word: only an error spoils the submission."""
        if self.weight.spoils:
            return Severity.ERROR
        return Severity.WARNING if self.weight is Weight.EXPLAIN else Severity.NOTE


def finding(rule: Rule[Subject, Problem], problem: Problem, root: Path) -> TreeFinding:
    """What ``rule`` found in the tree at ``root``."""
    path, message = problem
    return TreeFinding(weight=rule.weight, rule=rule.id, path=relative(path, root), message=message, source=rule.source)


def relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


class Checks(Book[Subject, Problem]):
    """The rules about one kind of subject of a tree."""

    def run(self, subject: Subject, *, root: Path, fallback: Path) -> Iterator[TreeFinding]:
        """Apply every rule to ``subject``. ``fallback``: the path that is named when a rule itself fails."""
        for rule in self.rules:
            for problem in rule.problems(subject, failed=lambda text: (fallback, text)):
                yield finding(rule, problem, root)
