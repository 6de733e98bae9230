"""The data set is the reference's, byte for byte: prompt, encoding, subset, file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlperf_llama_base.errors import EnvironmentFault, UserError
from qsl.articles import Article, ArticleSource
from qsl.dataset import Dataset
from qsl.prepare import prepare, subset
from qsl.tokenizer import load_tokenizer

ARTICLES = [
    Article(f"Article {i}: the harbour {{input}} was “closed”\n\n again.", f"Summary {i} of it.") for i in range(150)
]
PROMPT = (
    "Summarize the following news article in 128 tokens. Please output the summary only, without any other text.\n\n"
    "Article:\n{}\n\nSummary:"
)


def source(articles: list[Article] = ARTICLES) -> ArticleSource:
    return ArticleSource(iter(articles), len(articles), "test articles")


def test_json_is_what_the_reference_writes(tokenizer_dir: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(tokenizer_dir))
    made = prepare(source(), tokenizer=tokenizer, output=tmp_path / "x.json")
    rows = [
        {
            "instruction": {"llama": PROMPT.format("{input}")},
            "input": text,
            "tok_input": tokenizer.encode(PROMPT.format(text)),
            "output": summary,
        }
        for text, summary in ARTICLES
    ]
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == json.dumps(rows, indent=4, ensure_ascii=False)
    sizes = [len(row["tok_input"]) for row in rows]
    assert (made.count, made.tokens, made.longest) == (150, sum(sizes), max(sizes))


def test_bos_stands_there_once(tokenizer_dir: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(tokenizer_dir))
    prepare(source(), tokenizer=tokenizer, output=tmp_path / "x.parquet")
    data = Dataset.load(tmp_path / "x.parquet", vocab_size=len(tokenizer))
    for i in range(data.count):
        ids = data.tokens(i).tolist()
        assert ids[0] == tokenizer.bos_token_id
        assert ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(data.tokens(7), skip_special_tokens=True) == PROMPT.format(ARTICLES[7].text)
    assert data.articles([7]) == [ARTICLES[7].text]
    assert data.references([7]) == [ARTICLES[7].summary]
    assert data.label == "test articles"


def test_bos_twice_or_not_at_all_is_refused(double_bos_dir: Path, no_bos_dir: Path, tmp_path: Path) -> None:
    for folder, times in ((double_bos_dir, 2), (no_bos_dir, 0)):
        with pytest.raises(UserError, match=f"puts {times} BOS tokens in front"):
            prepare(source(), tokenizer=load_tokenizer(str(folder)), output=tmp_path / "x.json")
    assert not list(tmp_path.iterdir())


def test_subset_is_the_reference_subset() -> None:
    from datasets import Dataset as HubDataset

    rows = HubDataset.from_list([{"i": i} for i in range(150)]).shuffle(seed=42).flatten_indices().take(40)
    assert list(subset(ARTICLES, 40)) == [ARTICLES[i] for i in rows["i"]]
    for count in (0, 151):
        with pytest.raises(UserError, match=f"cannot draw {count} articles from 150"):
            list(subset(ARTICLES, count))


def test_count_and_progress(tokenizer_dir: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    made = prepare(
        source(),
        tokenizer=load_tokenizer(str(tokenizer_dir)),
        output=tmp_path / "x.parquet",
        count=100,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert made.count == 100
    assert seen == [(64, 100), (100, 100)]
    data = Dataset.load(tmp_path / "x.parquet")
    assert data.articles(range(100)) == [article.text for article in subset(ARTICLES, 100)]
    assert data.label == "test articles, 100 drawn with seed 42"


def test_nothing_is_left_when_it_breaks(tokenizer_dir: Path, tmp_path: Path) -> None:
    def broken() -> Iterator[Any]:
        yield from ARTICLES
        raise EnvironmentFault("the line is dead")

    tokenizer = load_tokenizer(str(tokenizer_dir))
    for name in ("x.json", "x.parquet"):
        with pytest.raises(EnvironmentFault, match="the line is dead"):
            prepare(ArticleSource(broken(), None, "x"), tokenizer=tokenizer, output=tmp_path / name)
    with pytest.raises(UserError, match="holds no articles"):
        prepare(source([]), tokenizer=tokenizer, output=tmp_path / "x.json")
    assert not list(tmp_path.iterdir())
