"""Loading a tokenizer: a folder, a hub id, or Meta's ``tokenizer.model`` (tiktoken format) of ``llama-models``.

The last needs no gated download. transformers' converter turns it into the tokenizer that Meta's Hugging Face
repositories hold as ``tokenizer.json``: the same merges, special ids from 128000, BOS in front.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

from mlperf_llama_base.errors import EnvironmentFault, UserError
from mlperf_llama_base.files import expanded

LLAMA3_BOS = "<|begin_of_text|>"
_LLAMA3_SPECIAL = [
    LLAMA3_BOS,
    "<|end_of_text|>",
    "<|reserved_special_token_0|>",
    "<|reserved_special_token_1|>",
    "<|finetune_right_pad_id|>",
    "<|reserved_special_token_2|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|python_tag|>",
]
_LLAMA3_SPECIAL += [f"<|reserved_special_token_{i}|>" for i in range(3, 3 + 256 - len(_LLAMA3_SPECIAL))]


def load_tokenizer(name: str, *, revision: str | None = None) -> Any:
    """Return a transformers tokenizer for the folder, ``tokenizer.model`` or hub id ``name``.

    Raises ``UserError`` where a path holds none, ``EnvironmentFault`` where the hub does not give it.
    """
    path = expanded(name)
    model = path / "tokenizer.model" if path.is_dir() and not (path / "tokenizer.json").exists() else path
    if model.is_file() and _is_tiktoken(model):
        return _from_tiktoken(model)
    if path.is_file():
        raise UserError(f"tokenizer {name} is not a tokenizer.model in tiktoken format; give the folder of a tokenizer")
    if not path.is_dir() and (path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1):
        raise UserError(f"tokenizer {name}: there is no such folder; give a folder or a Hugging Face hub id")
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(path) if path.is_dir() else name, revision=revision)
    except (OSError, ValueError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
        if path.is_dir():
            raise UserError(
                f"tokenizer {name}: the folder holds no tokenizer that transformers reads ({reason}); it "
                "needs tokenizer.json"
            ) from error
        raise EnvironmentFault(
            f"tokenizer {name} did not come from the hub ({reason}); give a local folder, or log in "
            "with `hf auth login` where the model is gated"
        ) from error


def _is_tiktoken(path: Path) -> bool:
    with path.open("rb") as file:
        parts = file.readline(1024).split()
    try:
        return len(parts) == 2 and parts[1].isdigit() and bool(base64.b64decode(parts[0], validate=True))
    except binascii.Error:
        return False


def _from_tiktoken(path: Path) -> Any:
    from tokenizers.processors import ByteLevel, Sequence, TemplateProcessing
    from transformers import PreTrainedTokenizerFast
    from transformers.convert_slow_tokenizer import TikTokenConverter

    try:
        # Its pattern is Llama 3's, and it makes a piece that is a token stay whole, as tiktoken does
        fast = TikTokenConverter(vocab_file=str(path), extra_special_tokens=_LLAMA3_SPECIAL).converted()
    except ValueError as error:
        raise EnvironmentFault(f"tokenizer {path} needs the extra [llama-tokenizer]: {error}") from error
    bos = (LLAMA3_BOS, fast.token_to_id(LLAMA3_BOS))
    template = TemplateProcessing(single=f"{LLAMA3_BOS} $A", special_tokens=[bos])
    fast.post_processor = Sequence([ByteLevel(trim_offsets=False), template])
    return PreTrainedTokenizerFast(
        tokenizer_object=fast, bos_token=LLAMA3_BOS, eos_token="<|eot_id|>", clean_up_tokenization_spaces=True
    )
