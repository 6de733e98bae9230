"""Why a run does not count, by cause: a short test of another model breaks a dozen rules for two reasons.

Each cause is said once, by its plainest rule; what every rule says stands behind it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from harness.rundir.result import Reason

SHORT, MODEL, DATA = NAMES = ("Short run", "Another model", "Another data set")
LONG = 160
REPEATED = "data set: "  # the name of the cause says it
RULES = {  # the plainest rule of a cause first
    "validity.duration": SHORT,
    "performance.min-duration": SHORT,
    "record.smoke": SHORT,
    "validity.whole-rounds": SHORT,
    "performance.sample-count": SHORT,
    "performance.offline-samples": SHORT,
    "record.model": MODEL,
    "record.data-set": DATA,
    "record.partial-scores": DATA,
    "accuracy.data-set": DATA,
}
PREFLIGHT = {  # what the pre-flight's own checks are about
    "preflight run length": SHORT,
    "preflight model": MODEL,
    "preflight data set": DATA,
    "preflight prompts": DATA,
}
ORDER = list(RULES)


@dataclass(frozen=True, kw_only=True)
class Cause:
    """``name``: None for a reason that stands for itself. ``text``: of its plainest rule. ``others``: of the rest."""

    name: str | None
    text: str
    others: Sequence[str] = ()

    @property
    def said(self) -> str:
        """In one line: of a long list, which stands behind it in full, the first."""
        if self.name is None:
            return self.text
        first, *more = self.text.split("; ") if len(self.text) > LONG else [self.text]
        return f"{self.name}: {first.removeprefix(REPEATED)}" + (f" (and {len(more)} more)" if more else "")

    @property
    def rules(self) -> list[str]:
        """What each rule says, with the cause before it."""
        return [text if self.name is None else f"{self.name}: {text}" for text in (self.text, *self.others)]


def causes(reasons: Sequence[Reason]) -> list[Cause]:
    """In the order in which they first appear; reasons without a common cause each alone."""
    texts = {reason.text for reason in reasons}
    groups: dict[str, list[Reason]] = {}
    for reason in reasons:
        groups.setdefault(_cause(reason) or _again(reason, texts) or reason.text, []).append(reason)
    return [_one(name, sorted(group, key=_rank)) for name, group in groups.items()]


def _one(name: str, group: Sequence[Reason]) -> Cause:
    texts = list(dict.fromkeys(reason.text for reason in group))
    known = name if name in NAMES and len(texts) > 1 else None
    return Cause(name=known, text=texts[0], others=texts[1:])


def _cause(reason: Reason) -> str | None:
    if reason.rule in RULES:
        return RULES[reason.rule]
    return next((cause for start, cause in PREFLIGHT.items() if reason.text.startswith(start)), None)


def _again(reason: Reason, texts: Container[str]) -> str | None:
    """What pre-flight said in the words of a rule: the rule's."""
    check, _, said = reason.text.partition(": ")
    return said if check.startswith("preflight ") and said in texts else None


def _rank(reason: Reason) -> tuple[int, bool]:
    return ORDER.index(reason.rule) if reason.rule in ORDER else len(ORDER), reason.text.startswith("preflight ")
