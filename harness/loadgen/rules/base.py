"""What a rule is: an id, where it comes from, what a breach of it spoils, and the function that looks.

One kind of rule serves everybody: the rules about LoadGen's logs (this package), about our own record of a run
(``harness.verdict``) and about a submission tree (``harness.submission.check``) differ only in what they look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from mlperf_llama_base.errors import HarnessError

Subject = TypeVar("Subject")
Problem = TypeVar("Problem")


class Breaks(StrEnum):
    """A use of the run that a breach spoils. ``VALIDITY``: the run counts for nothing, whatever it is used for.
    ``CLOSED`` and ``OPEN``: it cannot go into a submission of that division (``network`` inherits closed's rules).
    """

    VALIDITY = "validity"
    CLOSED = "closed"
    OPEN = "open"


EVERYTHING = frozenset(Breaks)
SUBMISSION = frozenset({Breaks.CLOSED, Breaks.OPEN})
CLOSED_ONLY = frozenset({Breaks.CLOSED})
OPEN_ONLY = frozenset({Breaks.OPEN})
VALIDITY_AND_CLOSED = frozenset({Breaks.VALIDITY, Breaks.CLOSED})


class Weight(StrEnum):
    """What a finding means for who reads it. Only the first two spoil anything."""

    RULE = "breaks a rule"
    REFUSED = "would be refused by the official checker"
    EXPLAIN = "looks wrong: explain it"
    NOTE = "note"

    @property
    def spoils(self) -> bool:
        return self in (Weight.RULE, Weight.REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Generic[Subject, Problem]):
    """One rule. ``check`` yields a problem for each breach, ``doc`` says what it asks for. ``in_open``: what a breach
    weighs in the open division, where that is something else.
    """

    id: str
    source: str
    check: Callable[[Subject], Iterable[Problem]]
    breaks: frozenset[Breaks] = SUBMISSION
    weight: Weight = Weight.RULE
    in_open: Weight | None = None

    def weighs(self, division: Breaks) -> Weight:
        """What a breach weighs for a submission to ``division``."""
        return self.in_open if division is Breaks.OPEN and self.in_open is not None else self.weight

    def problems(self, subject: Subject, *, failed: Callable[[str], Problem]) -> list[Problem]:
        """The breaches. ``failed`` makes a problem of the text that tells why ``subject`` cannot be checked: one
        spoilt file must never hide what is wrong with the rest.
        """
        found: list[Problem] = []
        try:
            found.extend(self.check(subject))
        except (HarnessError, ValueError, TypeError, KeyError, AttributeError, OSError, ArithmeticError) as error:
            found.append(failed(f"cannot be checked: {type(error).__name__}: {error}"))
        return found


class Book(Generic[Subject, Problem]):
    """The rules about one kind of subject, in the order of their definition."""

    def __init__(self) -> None:
        self.rules: list[Rule[Subject, Problem]] = []

    def __iter__(self) -> Iterator[Rule[Subject, Problem]]:
        return iter(self.rules)

    def rule(
        self, id: str, *, source: str, breaks: frozenset[Breaks] = SUBMISSION, weight: Weight = Weight.RULE
    ) -> Callable[[Callable[[Subject], Iterable[Problem]]], Callable[[Subject], Iterable[Problem]]]:
        """Enter the decorated generator under ``id``."""

        def enter(check: Callable[[Subject], Iterable[Problem]]) -> Callable[[Subject], Iterable[Problem]]:
            self.rules.append(Rule(id=id, source=source, check=check, breaks=breaks, weight=weight))
            return check

        return enter
