"""Is this the benchmark's data, made with this model's tokenizer?

A data set of another tokenizer or prompt runs without any error and gives a wrong accuracy ten minutes later.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from harness.config import Mode
from harness.preflight.base import Check, Context, Finding, combine, fail, passed, skipped, warn
from mlperf_llama_base.errors import HarnessError

if TYPE_CHECKING:
    from harness.preflight.sources import Tokenizer
    from qsl.dataset import Dataset

LONGEST_PROMPT = 2540  # the longest of MLCommons' cnn_eval.json with the Llama 3.1 tokenizer
ROWS_REENCODED = 64


class DatasetFile(Check):
    """Readable, the official count, ids inside the model's vocabulary, lengths as the benchmark's."""

    name = "data set"
    of_input = True

    def run(self, context: Context) -> Finding:
        data, config = context.dataset, context.config
        if data is None:
            if config.dataset.path is None:
                return warn("the demo data set is not made yet", "the first run makes it, or give --dataset")
            return fail(context.dataset_problem, "")
        context.facts["dataset"] = {"sha256": data.sha256, "count": data.count, "format": data.format}
        longest = int(data.lengths.max())
        found = (
            f"{data.count:,} rows ({data.format}), prompts of {float(data.lengths.mean()):.0f} tokens on average, "
            f"{longest} at most, sha256 {data.sha256[:12]}…"
        )
        return combine([*_unfit(context, data), *_unofficial(data, found, config.benchmark.sample_count)], found)


def _unfit(context: Context, data: Dataset) -> Iterator[Finding]:
    """The model cannot read these prompts."""
    if (model := context.model) is None:
        return
    room = (model.max_position_embeddings or 0) - context.config.engine.max_new_tokens
    try:
        data.check(vocab_size=model.vocab_size, max_prompt_tokens=room if room > 0 else None)
    except HarnessError as error:
        yield fail(str(error), "")


def _unofficial(data: Dataset, found: str, official: int) -> Iterator[Finding]:
    """It can be read, but it is not the benchmark's."""
    longest = int(data.lengths.max())
    if data.count != official:
        yield warn(
            f"{found}; the official data set has {official:,}",
            "a smoke run only: no result made with it can be submitted",
            blocks_submission=True,
        )
    if longest > LONGEST_PROMPT:
        yield warn(
            f"the longest prompt has {longest} tokens, the benchmark's has {LONGEST_PROMPT}",
            "check how it was made: the official prompts are not longer",
            blocks_submission=True,
        )
    if data.duplicates > 0.01 * data.count:
        yield warn(
            f"{data.duplicates:,} of {data.count:,} rows repeat an earlier one",
            "repeated prompts make a cache look fast; use distinct articles",
            blocks_submission=True,
        )


class DatasetPrompts(Check):
    """Re-encodes articles of some rows with the tokenizer and compares with the ids in the file."""

    name = "prompts"
    of_input = True

    def run(self, context: Context) -> Finding:
        data, tokenizer = context.dataset, context.tokenizer
        if data is None or tokenizer is None:
            return skipped("no data set" if data is None else "no tokenizer to compare with")
        rows = [int(i) for i in np.unique(np.linspace(0, data.count - 1, min(data.count, ROWS_REENCODED)))]
        try:
            articles = data.articles(rows)
        except HarnessError as error:
            return warn(f"the articles cannot be read: {error}", "the prompts remain unchecked", blocks_submission=True)
        if not any(articles):
            return warn(
                "the file has token ids but no articles, so the prompts cannot be checked",
                "synthetic data is good for speed only",
                blocks_submission=True,
            )
        return compare_prompts(data, tokenizer, dict(zip(rows, articles, strict=True)))


def compare_prompts(data: Dataset, tokenizer: Tokenizer, articles: dict[int, str]) -> Finding:
    """Compare the rows of ``articles`` (row -> text) with what ``tokenizer`` makes of them."""
    from qsl.prompt import render

    wrong = [row for row, text in articles.items() if tokenizer.encode(render(text)) != data.tokens(row).tolist()]
    if not wrong:
        return passed(f"{len(articles)} rows re-encoded with the tokenizer: all equal")
    row = wrong[0]
    ids = data.tokens(row).tolist()
    expected = tokenizer.encode(render(articles[row]))
    found = f"{len(wrong)} of {len(articles)} rows differ from what the tokenizer makes of them (first: row {row})"
    if expected[1:] == ids or ids[1:] == expected:
        return warn(
            f"{found}: by the token at the start",
            "the reference encodes with the tokenizer's begin-of-text token, once; prepare the data set again",
            blocks_submission=True,
        )
    if articles[row][:40].strip() in tokenizer.decode(ids):
        advice = "prepare the data set again: mlperf-llama data prepare"
        return warn(f"{found}: the prompt is not the benchmark's", advice, blocks_submission=True)
    return fail(
        f"{found}: they decode to another text",
        "the data set belongs to another tokenizer: prepare it again with this model's (mlperf-llama data prepare), "
        "or give the right --model",
    )


class References(Check):
    """An accuracy run needs reference summaries; find out before the run that they are missing."""

    name = "references"
    of_input = True

    def run(self, context: Context) -> Finding:
        if context.config.mode is not Mode.ACCURACY:
            return skipped("only an accuracy run is scored")
        data = context.dataset
        if data is None:
            return skipped("no data set")
        texts = data.references(range(data.count))
        missing = [row for row, text in enumerate(texts) if not text.strip()]
        if missing:
            return fail(
                f"{len(missing):,} of {data.count:,} rows have no reference summary (first: row {missing[0]}, counted "
                "from 0)",
                "use a data set made by mlperf-llama data prepare",
            )
        return passed(f"all {data.count:,} reference summaries are there")
