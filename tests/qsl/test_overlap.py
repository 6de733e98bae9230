"""Two data sets share a row by its article or by its ids."""

from __future__ import annotations

from pathlib import Path

from qsl.dataset import Dataset
from qsl.overlap import marks, shared_rows
from tests.helpers.rows import row, rows, write_rows


def load(path: Path, content: list[dict[str, object]]) -> Dataset:
    return Dataset.load(write_rows(path, content))


def test_the_same_article_in_another_prompt(tmp_path: Path) -> None:
    ours = load(tmp_path / "a.json", [row([1, 2], article="One  two\nthree."), row([3], article="Other.")])
    known = [mark for own in marks(ours) for mark in own]
    theirs = load(tmp_path / "b.json", [row([9], article="x"), row([8, 7], article="One two three. ")])
    assert shared_rows(theirs, known) == [1]


def test_the_same_ids_without_an_article(tmp_path: Path) -> None:
    ours = load(tmp_path / "a.json", [row([4, 5, 6]), row([4, 5])])
    known = [mark for own in marks(ours) for mark in own]
    assert len(known) == 2
    assert shared_rows(load(tmp_path / "b.json", [row([4]), row([4, 5, 6], article="x"), row([6])]), known) == [1]


def test_nothing_shared(tmp_path: Path) -> None:
    ours = load(tmp_path / "a.json", rows(20, seed=1))
    theirs = load(tmp_path / "b.json", [sample | {"input": f"{sample['input']} More."} for sample in rows(20, seed=2)])
    assert not shared_rows(theirs, [mark for own in marks(ours) for mark in own])
