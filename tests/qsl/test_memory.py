"""Memory is that of the ids: no Python lists, no text, and preparing does not grow with the number of articles."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qsl.articles import Article, ArticleSource
from qsl.dataset import Dataset
from qsl.formats import open_writer
from qsl.library import SampleLibrary
from qsl.prepare import prepare
from qsl.rows import Row
from qsl.synthetic import lengths, prompts


def traced(action: Callable[[], Any]) -> tuple[Any, int, int]:
    """Return what ``action`` returns, the bytes it left allocated, and its peak."""
    gc.collect()
    tracemalloc.start()
    try:
        result = action()
        gc.collect()
        return result, *tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module", params=["json", "parquet"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,500 rows with 10 kB of text each: 15 MB of text, 4.7 MB of ids."""
    path = tmp_path_factory.mktemp("memory") / f"x.{request.param}"
    with open_writer(path, label="x", instruction={"a": "b"}) as writer:
        for ids in prompts(lengths(1500, seed=1), seed=1, vocab_size=128256):
            writer.write(Row("text " * 1800, ids, "summary " * 125))
    Dataset.load(path).references([0])  # imports are not the data set's memory
    return path


def test_loaded_data_set_takes_little_more_than_its_ids(path: Path) -> None:
    data, left, peak = traced(lambda: Dataset.load(path))
    assert data.ids.nbytes > 4e6
    assert left < 1.5 * data.ids.nbytes
    assert peak < 2.5 * data.ids.nbytes


def test_text_is_not_kept(path: Path) -> None:
    data = Dataset.load(path)
    texts, left, _ = traced(lambda: data.references(range(1500)))
    assert left > sum(map(len, texts))  # the list itself, as long as it is held
    del texts
    _, left, _ = traced(lambda: len(data.references(range(1500))) + len(data.articles(range(1500))))
    assert left < 100_000


def test_library_holds_the_bytes_and_lets_them_go(path: Path) -> None:
    data = Dataset.load(path)
    library = SampleLibrary(data)
    _, left, _ = traced(lambda: library.load(range(data.count)))
    assert data.ids.nbytes < left < 1.2 * data.ids.nbytes
    library.unload(range(data.count))

    def load_and_unload() -> None:
        library.load(range(data.count))
        library.unload(range(data.count))

    _, left, _ = traced(load_and_unload)
    assert left < 100_000


class Letters:
    """A tokenizer's face: one id for each letter."""

    bos_token_id = None
    bos_token = None

    def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [list(text.encode()) for text in texts]}


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_preparing_streams(tmp_path: Path, suffix: str) -> None:
    def run(count: int) -> int:
        source = ArticleSource((Article(f"{i} " * 20, "summary") for i in range(count)), count, "x")
        output = tmp_path / f"x{count}.{suffix}"
        return traced(lambda: prepare(source, tokenizer=Letters(), output=output))[2]

    run(64)  # imports
    few, many = (1024, 2048) if suffix == "parquet" else (256, 1024)  # Parquet gathers 1,024 rows
    assert run(many) < 1.3 * run(few)
