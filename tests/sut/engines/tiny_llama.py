"""A random Llama of Llama 3's vocabulary, small enough for tests, and what it answers according to transformers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sut.engines.base import IntArray
from tests.helpers.llama import write_llama

VOCABULARY = 128_256
MAX_NEW_TOKENS = 24


@dataclass
class TinyLlama:
    """``prompts`` and the greedy float32 ``answers``, cut after the first ``eos``."""

    folder: Path
    eos: int
    prompts: list[IntArray]
    answers: list[list[int]]


def make(folder: Path, *, prompts: int = 12) -> TinyLlama:
    """Write the model to ``folder``. Its EOS is a token that some answers hold, so that they end early."""
    import torch

    model = write_llama(
        folder, vocab_size=VOCABULARY, max_position_embeddings=4096, bos_token_id=128_000, eos_token_id=None
    )
    random = np.random.default_rng(7)
    texts = [random.integers(0, 128_000, int(n)).astype(np.int32) for n in random.integers(3, 120, prompts)]
    answers = []
    for text in texts:
        ids = torch.tensor(text[None].astype(np.int64))
        with torch.inference_mode():
            out = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=MAX_NEW_TOKENS, do_sample=False, pad_token_id=0
            )
        answers.append(out[0, len(text) :].tolist())
    eos = answers[0][6]
    for name in ("config.json", "generation_config.json"):
        tree = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(tree | {"eos_token_id": [eos, 128_009]}))
    return TinyLlama(folder, eos, texts, [cut(answer, eos) for answer in answers])


def cut(answer: list[int], eos: int) -> list[int]:
    """Return ``answer`` up to and with its first ``eos``."""
    return answer[: answer.index(eos) + 1] if eos in answer else answer
