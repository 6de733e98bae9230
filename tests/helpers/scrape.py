"""What Prometheus would read, by its own parser."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families


class Page:
    """``samples``: name and labels to value. ``types``: of each family, by its name."""

    def __init__(self, text: str) -> None:
        self.families: list[Any] = list(text_string_to_metric_families(text))
        self.types: dict[str, str] = {f.name: f.type for f in self.families}
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {
            (s.name, frozenset(s.labels.items())): s.value for f in self.families for s in f.samples
        }

    def labels(self) -> dict[str, set[str]]:
        """The names of a metric's labels, by its full name (``..._total``, ``..._bucket``)."""
        found: dict[str, set[str]] = {}
        for name, labels in self.samples:
            found.setdefault(name, set()).update(dict(labels))
        return found

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        wanted = set(labels.items())
        return sum(value for (own, has), value in self.samples.items() if own == name and wanted <= has)


def scrape(port: int, headers: Mapping[str, str] | None = None) -> Page:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=30) as answer:
        return Page(answer.read().decode())
