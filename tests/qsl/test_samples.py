"""The sample articles keep what their README promises; the demo and many tests build on them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "qsl" / "samples" / "articles.jsonl"
ROWS = [json.loads(line) for line in SAMPLES.read_text(encoding="utf-8").splitlines()]


def test_there_are_enough() -> None:
    assert len(ROWS) >= 32


@pytest.mark.parametrize("key", ["id", "article", "highlights"])
def test_nothing_stands_twice(key: str) -> None:
    assert len({row[key] for row in ROWS}) == len(ROWS)


def test_lengths_vary_as_news_do() -> None:
    words = sorted(len(row["article"].split()) for row in ROWS)
    assert words[0] < 200
    assert words[-1] > 600


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_form(row: dict[str, str]) -> None:
    assert set(row) == {"id", "article", "highlights"}
    assert 150 <= len(row["article"].split()) <= 700
    assert 40 <= len(row["highlights"].split()) <= 70
    sentences = row["highlights"].split("\n")
    assert 3 <= len(sentences) <= 4
    for text in (row["article"], *sentences):
        assert text == text.strip()
        assert text[-1] in '."'
