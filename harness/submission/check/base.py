"""Checks are small functions that yield problems; this module turns them into findings with their rule and source.

A check that trips over a file it did not expect becomes a finding itself, so that one spoilt file never hides the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Generic, TypeVar

from mlperf_llama_base.errors import HarnessError

Problem = tuple[Path, str]
Subject = TypeVar("Subject")


class Severity(StrEnum):
    """``ERROR``: the submission would be refused or breaks a rule. ``WARNING``: a reviewer will ask. ``NOTE``: not
    checked.
    """

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong. ``path`` is relative to the tree's root; ``source`` names the public rule."""

    severity: Severity
    rule: str
    path: str
    message: str
    source: str


@dataclass(frozen=True, slots=True)
class Check(Generic[Subject]):
    """A check function with the rule that it enforces."""

    rule: str
    source: str
    severity: Severity
    function: Callable[[Subject], Iterable[Problem]]

    def run(self, subject: Subject, *, root: Path, fallback: Path) -> Iterator[Finding]:
        """Yield the findings about ``subject``. ``fallback``: the path named when the check itself fails."""
        problems: list[Problem] = []
        try:
            problems.extend(self.function(subject))
        except (HarnessError, ValueError, TypeError, KeyError, AttributeError, OSError, ArithmeticError) as error:
            problems.append((fallback, f"cannot be checked: {type(error).__name__}: {error}"))
        for path, message in problems:
            yield Finding(
                severity=self.severity,
                rule=self.rule,
                path=path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path),
                message=message,
                source=self.source,
            )


class Checks(Generic[Subject]):
    """The checks of one kind of subject, in the order of their definition."""

    def __init__(self) -> None:
        self.checks: list[Check[Subject]] = []

    def rule(
        self, name: str, *, source: str, severity: Severity = Severity.ERROR
    ) -> Callable[[Callable[[Subject], Iterable[Problem]]], Callable[[Subject], Iterable[Problem]]]:
        """Register the decorated generator under the rule ``name``."""

        def register(function: Callable[[Subject], Iterable[Problem]]) -> Callable[[Subject], Iterable[Problem]]:
            self.checks.append(Check(name, source, severity, function))
            return function

        return register

    def run(self, subject: Subject, *, root: Path, fallback: Path) -> Iterator[Finding]:
        """Run every check on ``subject``."""
        for check in self.checks:
            yield from check.run(subject, root=root, fallback=fallback)
