"""A tiny byte-level tokenizer with Llama 3's BOS, and data sets written by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SENTENCES = ["Summarize the following news article.", "The harbour was closed.", "It rained, again and again."]


@pytest.fixture(scope="session")
def tokenizer_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tokenizer of 300 ids: 0 is BOS, put in front of every text; 1 is EOS."""
    return build_tokenizer(tmp_path_factory.mktemp("tokenizer"), bos_times=1)


@pytest.fixture(scope="session")
def double_bos_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tokenizer(tmp_path_factory.mktemp("double"), bos_times=2)


@pytest.fixture(scope="session")
def no_bos_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tokenizer(tmp_path_factory.mktemp("none"), bos_times=0)


def build_tokenizer(folder: Path, *, bos_times: int) -> Path:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bos, eos = "<|begin_of_text|>", "<|eot_id|>"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=[bos, eos], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    if bos_times:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=" ".join([bos] * bos_times + ["$A"]), special_tokens=[(bos, 0)]
        )
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=bos, eos_token=eos).save_pretrained(folder)
    return folder


Write = Callable[..., Path]


@pytest.fixture
def write_json(tmp_path: Path) -> Write:
    """Write rows, or anything else, as MLCommons' JSON."""

    def write(rows: Any, name: str = "set.json") -> Path:
        path = tmp_path / name
        path.write_text(rows if isinstance(rows, str) else json.dumps(rows, ensure_ascii=False), encoding="utf-8")
        return path

    return write


def sample(ids: Any, **more: Any) -> dict[str, Any]:
    return {"instruction": {"llama": "x"}, "input": "an article", "tok_input": ids, "output": "a summary", **more}


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    """Make a row of MLCommons' JSON from token ids."""
    return sample
