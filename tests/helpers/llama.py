"""Random Llamas, small enough to load at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def write_llama(folder: Path, *, seed: int = 1, **config: Any) -> Any:
    """Write a Llama of two layers in float32 to ``folder`` and return it. ``config``: entries of ``LlamaConfig``.

    Weights are spread widely, so that answers differ from prompt to prompt.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    small = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "initializer_range": 0.2,
    }
    model = LlamaForCausalLM(LlamaConfig(**small | config)).to(torch.float32).eval()
    model.save_pretrained(folder)
    return model
