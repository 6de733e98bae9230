"""A data set to rehearse with: as many rows as the benchmark's, and summaries that a fake engine meets.

The null engine answers with the beginning of its prompt. With that as reference summary its scores are those of a good
model, so that the whole way can be tried without one, up to the official checker. It measures nothing.
"""

from __future__ import annotations

from typing import Any

from harness.rounds import ENDPOINTS, ROUND
from harness.serve.fields import Message
from harness.serve.templates import Templates
from qsl.articles import open_source
from qsl.demo import ARTICLES
from qsl.prompt import render
from qsl.tokenizer import load_tokenizer

TAKEN = 6
READ = 16 * ROUND.max_new_tokens  # more text than the tokens of an answer can hold


def rehearsal_rows(tokenizer: str, *, count: int = ENDPOINTS.samples) -> dict[str, list[str]]:
    """``count`` articles, some of the demo's in turn with a number each, and what the null engine answers to them.

    Those are taken whose answers are about as long as the reference's, whatever the tokenizer.
    """
    loaded = load_tokenizer(tokenizer)
    wanted = ENDPOINTS.benchmark.targets["gen_len"].reference / ENDPOINTS.samples
    texts = [row.text for row in open_source(str(ARTICLES)).articles]
    lengths = {text: len(answer) for text, answer in zip(texts, _answers(loaded, texts), strict=True)}
    texts = sorted(texts, key=lambda text: abs(lengths[text] - wanted))[:TAKEN]
    articles = [f"Report {number}. {texts[number % TAKEN]}" for number in range(count)]
    return {"article": articles, "highlights": _answers(loaded, articles)}


def _answers(tokenizer: Any, articles: list[str]) -> list[str]:
    """What the null engine says to each: the prompt as the server reads it, all but the last token of an answer.

    To the letter, since the client scores answers that equal their summaries in a hundredth of the time.
    """
    plain = Templates(tokenizer, "plain")
    texts = [plain.prompt([Message("user", render(article[:READ]))], None) for article in articles]
    rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    heads = [ids[: ROUND.max_new_tokens - 1] for ids in rows]
    found: list[str] = tokenizer.batch_decode(heads, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return found
