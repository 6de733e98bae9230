"""A random Llama with a vocabulary of 512 and a tokenizer of its own: loads at once, answers in milliseconds."""

from __future__ import annotations

from pathlib import Path

VOCABULARY = 512
EOS = 7
MAX_NEW_TOKENS = 24


def make(folder: Path, *, positions: int = 256) -> Path:
    """Write model (float32) and tokenizer to ``folder``."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=positions,
        bos_token_id=6,
        eos_token_id=EOS,
        initializer_range=0.2,
    )
    LlamaForCausalLM(config).to(torch.float32).save_pretrained(folder)
    write_tokenizer(folder, VOCABULARY)
    return folder


def write_tokenizer(folder: Path, size: int) -> None:
    """A tokenizer of ``size`` words, ``w0`` to ``w{size-1}``."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {f"w{i}": i for i in range(size)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=f"w{EOS}", bos_token="w6").save_pretrained(folder)
