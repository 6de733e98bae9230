"""The demo's data set: the articles in ``qsl/samples``, tokenised like the real ones."""

from __future__ import annotations

from pathlib import Path

from qsl.articles import open_source
from qsl.prepare import prepare
from qsl.tokenizer import load_tokenizer

ARTICLES = Path(__file__).parent / "samples" / "articles.jsonl"


def build_demo_dataset(tokenizer_path: Path | str, out_path: Path) -> Path:
    """Write the demo articles, tokenised with the tokenizer at ``tokenizer_path``, to ``out_path``; return that."""
    tokenizer = load_tokenizer(str(tokenizer_path))
    return prepare(open_source(str(ARTICLES)), tokenizer=tokenizer, output=out_path).path
