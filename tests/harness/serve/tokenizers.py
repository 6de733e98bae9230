"""A byte-level tokenizer of a few merges, with Llama 3's special tokens, made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEXT = (
    "Summarize the following news article. The llama said: «Grüße, 世界» 🦙🦙 and went on to the city of Zürich. "
    "Article: the bank and the road, don't you know? Summary:"
)
SPECIAL = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
CHAT = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}"
    "<|eot_id|>{% endfor %}<|start_header_id|>assistant<|end_header_id|>\n\n"
)


def make(folder: Path, *, template: str | None = CHAT) -> Any:
    """Write the tokenizer to ``folder`` and return it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    fast.train_from_iterator([TEXT], trainer)
    bos = (SPECIAL[0], fast.token_to_id(SPECIAL[0]))
    fast.post_processor = processors.TemplateProcessing(single=f"{SPECIAL[0]} $A", special_tokens=[bos])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=fast, bos_token=SPECIAL[0], eos_token=SPECIAL[3])
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return tokenizer


def of_words(folder: Path) -> Any:
    """A tokenizer as SentencePiece makes them: words with their space, bytes for what has no token."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", *"thebankdro"]
    merges = []
    for word in ("\u2581the", "\u2581bank", "\u2581and", "\u2581road"):
        for end in range(2, len(word) + 1):
            merges.append((word[: end - 1], word[end - 1]))
            pieces.append(word[:end])
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    fast = Tokenizer(models.BPE(vocabulary, list(dict.fromkeys(merges)), byte_fallback=True, unk_token="<unk>"))
    fast.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    fast.decoder = decoders.Sequence(steps)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=fast, unk_token="<unk>")
    tokenizer.save_pretrained(folder)
    return tokenizer
