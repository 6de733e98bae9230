"""Tokenizers whose every token is a word, so that a test can read what was generated."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any


def write_words(folder: Path, words: Iterable[str], *, unknown: str, decoder: Any = None, **special: Any) -> Path:
    """Write a tokenizer to ``folder``: the n-th of ``words`` has id n, and any other word is ``unknown``.

    ``special``: options of ``PreTrainedTokenizerFast``, such as ``eos_token``.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if decoder is not None:
        tokenizer.decoder = decoder
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return folder
