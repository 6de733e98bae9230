"""Data sets: the right one passes; another tokenizer's, another prompt, wrong counts and broken files do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.preflight.base import Context, Status
from harness.preflight.dataset import DatasetFile, DatasetPrompts, References
from harness.preflight.sources import FastTokenizer
from qsl.prompt import render
from tests.harness.preflight.fakes import dataset_file, make, model_folder, tokenizer_file

ARTICLES = [f"The harbour of town {i} was closed on a foggy morning, and {i} ferries waited outside." for i in range(8)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = model_folder(tmp_path / "model", vocab_size=300)
    tokenizer_file(made)
    return made


def context(folder: Path, rows: list[tuple[str, list[int], str]], **tree: Any) -> Context:
    path = dataset_file(folder.parent / "data.json", rows)
    return make(model__path=str(folder), dataset__path=str(path), **tree)


def encoded(folder: Path, change: Callable[[str], str] = render) -> list[tuple[str, list[int], str]]:
    tokenizer = FastTokenizer(folder / "tokenizer.json")
    return [(a, tokenizer.encode(change(a)), "A harbour was closed.") for a in ARTICLES]


def test_the_right_data_set_passes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.config.Benchmark.sample_count", property(lambda self: len(ARTICLES)))
    made = context(folder, encoded(folder))
    assert DatasetFile().run(made).status is Status.PASS
    assert len(made.facts["dataset"]["sha256"]) == 64
    assert DatasetPrompts().run(made).status is Status.PASS


def test_a_wrong_count_cannot_be_submitted(folder: Path) -> None:
    finding = DatasetFile().run(context(folder, encoded(folder)))
    assert (finding.status, finding.blocks_submission, "13,368" in finding.found) == (Status.WARN, True, True)
    official = DatasetFile().run(context(folder, encoded(folder), scenario="singlestream"))
    assert "5,000" in official.found


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "does not exist"),
        ("", "empty"),
        ("hello", "not JSON"),
        ("[]", "no samples"),
        ('[{"input": "x"}]', "tok_input"),
        ('[{"tok_input": [-1]}]', "row 0"),
        ('[{"tok_input": []}]', "empty"),
    ],
)
def test_a_file_that_cannot_be_used(content: str | None, text: str, folder: Path) -> None:
    path = folder.parent / "bad.json"
    if content is not None:
        path.write_text(content)
    made = make(model__path=str(folder), dataset__path=str(path))
    finding = DatasetFile().run(made)
    assert finding.status is Status.FAIL
    assert text in finding.found
    assert DatasetPrompts().run(made).found == "not looked at: no data set"


def test_ids_beyond_the_vocabulary(folder: Path) -> None:
    finding = DatasetFile().run(context(folder, [("x", [1, 2, 300], "y")]))
    assert (finding.status, "token id 300" in finding.found) == (Status.FAIL, True)


def test_prompts_longer_than_the_model_or_the_benchmark(folder: Path) -> None:
    model_folder(folder, vocab_size=300, max_position_embeddings=1000)
    assert DatasetFile().run(context(folder, [("x", [1] * 900, "y")])).status is Status.FAIL
    model_folder(folder, vocab_size=300)
    found = DatasetFile().run(context(folder, [("x", [1] * 2541, "y")]))
    assert any("2540" in line for line in (found.found, *found.details))


def test_repeated_rows(folder: Path) -> None:
    found = DatasetFile().run(context(folder, [("x", [1, 2], "y")] * 4))
    assert any("repeat an earlier" in line for line in (found.found, *found.details))


def test_the_demo_data_set_may_be_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPERF_LLAMA_HOME", str(tmp_path))
    assert DatasetFile().run(make()).status is Status.WARN


def test_another_tokenizers_data_set(folder: Path) -> None:
    rows = encoded(folder)
    tokenizer_file(folder, shift=7)
    finding = DatasetPrompts().run(context(folder, rows))
    assert (finding.status, "8 of 8 rows" in finding.found) == (Status.FAIL, True)


def test_one_wrong_row_is_enough(folder: Path) -> None:
    rows = encoded(folder)
    rows[5] = (rows[5][0], [*rows[5][1], 17], rows[5][2])
    finding = DatasetPrompts().run(context(folder, rows))
    assert (finding.status, "1 of 8 rows" in finding.found, "row 5" in finding.found) == (Status.WARN, True, True)


def test_another_prompt(folder: Path) -> None:
    rows = encoded(folder, lambda article: f"Please shorten this:\n{article}")
    finding = DatasetPrompts().run(context(folder, rows))
    assert (finding.status, finding.blocks_submission) == (Status.WARN, True)
    assert "not the benchmark's" in finding.found


@pytest.mark.parametrize("change", [lambda ids: ids[1:], lambda ids: [0, *ids]])
def test_begin_of_text_missing_or_twice(change: Callable[[list[int]], list[int]], folder: Path) -> None:
    rows = [(a, change(ids), s) for a, ids, s in encoded(folder)]
    finding = DatasetPrompts().run(context(folder, rows))
    assert (finding.status, "token at the start" in finding.found) == (Status.WARN, True)


def test_token_ids_without_articles(folder: Path) -> None:
    finding = DatasetPrompts().run(context(folder, [("", [1, 2], "")]))
    assert (finding.status, finding.blocks_submission) == (Status.WARN, True)


def test_references_are_wanted_for_accuracy(folder: Path) -> None:
    rows = encoded(folder)
    assert References().run(context(folder, rows, mode="accuracy")).status is Status.PASS
    for row in (1, len(rows) - 1):  # not only the first, the middle and the last are looked at
        lacking = [(a, ids, " " if i == row else s) for i, (a, ids, s) in enumerate(rows)]
        finding = References().run(context(folder, lacking, mode="accuracy"))
        assert finding.status is Status.FAIL
        assert f"1 of {len(rows)} rows have no reference summary (first: row {row}," in finding.found
        assert References().run(context(folder, lacking)).status is Status.PASS
