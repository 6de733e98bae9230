"""Tells whether two data sets share articles: what a model was calibrated on must not be what it is measured on.

A row is known by its article, whatever the tokenizer, the prompt and the white space, and by its token ids, for a file
without articles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from qsl.dataset import Dataset

MARK_BYTES = 10  # a shared mark by chance: below 1e-16 for the largest sets


def marks(dataset: Dataset) -> list[list[str]]:
    """For each row in use, what it is known by: digests of its article (where it has one) and of its token ids."""
    articles = dataset.articles(range(dataset.count))
    found = []
    for i, article in enumerate(articles):
        words = article.split()
        own = [_digest(" ".join(words).encode())] if words else []
        found.append([*own, _digest(dataset.tokens(i).tobytes())])
    return found


def shared_rows(dataset: Dataset, known: Iterable[str]) -> list[int]:
    """The rows of ``dataset`` that have one of the ``known`` marks."""
    wanted = frozenset(known)
    return [row for row, own in enumerate(marks(dataset)) if not wanted.isdisjoint(own)]


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=MARK_BYTES).hexdigest()
