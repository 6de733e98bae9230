"""A random Llama with a vocabulary of 512 and a tokenizer of its own: loads at once, answers in milliseconds."""

from __future__ import annotations

from pathlib import Path

from tests.helpers.llama import write_llama
from tests.helpers.tokenizers import write_words

VOCABULARY = 512
EOS = 7
MAX_NEW_TOKENS = 24


def make(folder: Path, *, positions: int = 256) -> Path:
    """Write model (float32) and tokenizer to ``folder``."""
    write_llama(folder, vocab_size=VOCABULARY, max_position_embeddings=positions, bos_token_id=6, eos_token_id=EOS)
    write_tokenizer(folder, VOCABULARY)
    return folder


def write_tokenizer(folder: Path, size: int) -> None:
    """A tokenizer of ``size`` words, ``w0`` to ``w{size-1}``."""
    write_words(folder, (f"w{i}" for i in range(size)), unknown="w0", eos_token=f"w{EOS}", bos_token="w6")
