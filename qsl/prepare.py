"""Makes the benchmark's data set from articles: prompt, token ids, reference summary, as the reference makes it.

Source: mlcommons/inference, language/llama3.1-8b/download_cnndm.py. Articles are neither cut nor left out, the
tokenizer encodes the prompt with its special tokens (BOS once), and ``count`` takes the same subset in the same
order (the edge benchmark's 5,000). Articles stream through in batches, so that memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mlperf_llama_base.errors import UserError
from qsl import prompt
from qsl.articles import Article, ArticleSource
from qsl.formats import open_writer
from qsl.rows import Row
from qsl.tokenizer import LLAMA3_BOS

BATCH = 64
SEED = 42

Progress = Callable[[int, int | None], None]
"""Called with rows done and rows in total (None where that is not known)."""


@dataclass(frozen=True)
class Prepared:
    """What was written."""

    path: Path
    count: int
    tokens: int
    longest: int


def prepare(
    source: ArticleSource,
    *,
    tokenizer: Any,
    output: Path,
    count: int | None = None,
    calibration: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Write ``output`` (``.json``: MLCommons' format, ``.parquet``: ours) with a row for each article of ``source``.

    ``tokenizer``: a transformers tokenizer. ``count``: only a subset of this size, drawn with seed 42. ``calibration``:
    as the reference's prepare-calibration.py writes JSON, byte for byte (``instruction`` is text there). The file
    appears when it is complete. Raises ``UserError`` for a bad source, count or tokenizer, ``EnvironmentFault`` if it
    cannot be written.
    """
    articles, total, label = iter(source.articles), source.total, source.label
    if count is not None:
        articles, total, label = subset(articles, count), count, f"{label}, {count} drawn with seed {SEED}"
    done = tokens = longest = 0
    instruction = prompt.TEMPLATE if calibration else {"llama": prompt.TEMPLATE}
    with open_writer(output, label=label, instruction=instruction) as writer:
        while batch := list(islice(articles, BATCH)):
            for article, ids in zip(batch, encode(tokenizer, [article.text for article in batch]), strict=True):
                writer.write(Row(article.text, ids, article.summary))
                tokens, longest = tokens + len(ids), max(longest, len(ids))
            done += len(batch)
            if progress:
                progress(done, total)
        if not done:
            raise UserError(f"article source {source.label} holds no articles")
    return Prepared(path=output, count=done, tokens=tokens, longest=longest)


def encode(tokenizer: Any, articles: Iterable[str]) -> list[list[int]]:
    """Return the prompts' token ids. Raises ``UserError`` unless Llama 3's BOS stands there just once."""
    prompts = [prompt.render(article) for article in articles]
    encoded: list[list[int]] = tokenizer(prompts, add_special_tokens=True, verbose=False)["input_ids"]
    bos = tokenizer.bos_token_id
    for ids in encoded:
        leading = 0 if bos is None else int(ids[:1] == [bos]) + int(ids[:2] == [bos, bos])
        if leading == 2 or (leading == 0 and tokenizer.bos_token == LLAMA3_BOS):
            raise UserError(
                f"the tokenizer puts {leading} BOS tokens in front of a prompt instead of 1; use the one "
                "that comes with the model, unchanged"
            )
    return encoded


def subset(articles: Iterable[Article], count: int) -> Iterator[Article]:
    """Draw ``count`` articles as ``datasets``' ``shuffle(seed=42)`` and ``take`` do: numpy's default generator."""
    everything = list(articles)
    if not 1 <= count <= len(everything):
        raise UserError(f"cannot draw {count} articles from {len(everything)}")
    return (everything[i] for i in np.random.default_rng(SEED).permutation(len(everything))[:count])
