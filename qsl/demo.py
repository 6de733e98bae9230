"""The demo's data set: the articles in ``qsl/samples``, with the benchmark's prompt.

A tokenizer that has a chat template gets the prompt as a chat message. The benchmark gives Llama 3.1 8B plain text, but
the demo's small model only repeats itself after plain text (ROUGE-1 25, and never an EOS), and summarises what it is
asked in a chat (ROUGE-1 35). This is for the demo alone: :func:`qsl.prepare.prepare` never uses a chat template.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from qsl.articles import open_source
from qsl.prepare import prepare
from qsl.tokenizer import load_tokenizer

SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
SHORTEST, LONGEST = 30, 160  # characters: some 8 to 40 tokens
ARTICLES = Path(__file__).parent / "samples" / "articles.jsonl"


def build_demo_dataset(tokenizer_path: Path | str, out_path: Path) -> Path:
    """Write the demo articles, tokenised with the tokenizer at ``tokenizer_path``, to ``out_path``; return that."""
    tokenizer = load_tokenizer(str(tokenizer_path))
    source = replace(open_source(str(ARTICLES)), label="demo articles")
    if getattr(tokenizer, "chat_template", None):
        tokenizer = _Chat(tokenizer)
        source = replace(source, label=f"{source.label}, in the model's chat template")
    return prepare(source, tokenizer=tokenizer, output=out_path).path


def build_demo_sentences(tokenizer_path: Path | str, out_path: Path, *, count: int) -> Path:
    """Write ``count`` single sentences of the demo articles as they are, for a run of many short queries.

    Raises ``ValueError`` if the articles have fewer.
    """
    import json

    from qsl.formats import open_writer
    from qsl.rows import Row

    tokenizer = load_tokenizer(str(tokenizer_path))
    articles = [json.loads(line)["article"] for line in ARTICLES.read_text(encoding="utf-8").splitlines()]
    sentences = [text.strip() for article in articles for text in SENTENCE_END.split(article)]
    fitting = [text for text in dict.fromkeys(sentences) if SHORTEST <= len(text) <= LONGEST][:count]
    if len(fitting) < count:
        raise ValueError(f"the demo articles have {len(fitting)} short sentences, not {count}")
    with open_writer(out_path, label="sentences of the demo articles", instruction="") as writer:
        for text in fitting:
            writer.write(Row(text, tokenizer(text)["input_ids"], ""))
    return out_path


class _Chat:
    """A tokenizer that takes each text for what a user says in a chat, and lets the model answer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.bos_token = tokenizer.bos_token
        self.bos_token_id = tokenizer.bos_token_id

    def __call__(self, texts: list[str], **_: Any) -> dict[str, list[list[int]]]:
        chats = [[{"role": "user", "content": text}] for text in texts]
        encoded = self._tokenizer.apply_chat_template(chats, add_generation_prompt=True, return_dict=True)
        return {"input_ids": [list(ids) for ids in encoded["input_ids"]]}
