"""The rule book: every rule about a LoadGen log, once, with its id, its public source and what a breach spoils.

The gate (``harness.verdict``) and the tree checker (``harness.submission.check``) both read it, so they cannot differ.
To find a rule: grep its id here. ``record``: the logs are whole and of the test that was meant; ``settings``: LoadGen
was the right one and set as the rules say; ``effect``: what was asked for took effect; ``results``: what it measured;
``figures``: they are all there and in order; ``arithmetic``: they follow from each other; ``accuracy``; ``compliance``
(TEST06).
"""

from __future__ import annotations

from harness.loadgen.rules import accuracy, arithmetic, compliance, effect, figures, record, results, settings  # noqa: F401  they fill the book
from harness.loadgen.rules.base import Book, Breaks, Rule, Weight
from harness.loadgen.rules.logs import BOOK, LogRule, Logs

__all__ = ["BOOK", "Book", "Breaks", "LogRule", "Logs", "Rule", "Weight"]
