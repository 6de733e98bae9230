"""Random weights in the form of a calibrated FP8 checkpoint, to measure speed on machines without the real ones.

``load_format dummy`` leaves the scales of such a checkpoint at random too; activations then saturate, which changes
what the GPU draws and so how fast it clocks. Here weights are normal, and static scales fit the activations that normal
weights give, so that the arithmetic is as busy as that of a real model.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sut.engines import shapes

FP8_MAX = 448.0  # largest finite value of float8 e4m3fn
WEIGHT_STD = 0.02
# largest activation that enters each projection, for unit-variance normalised inputs and WEIGHT_STD
ACTIVATION_MAX = {"qkv": 6.0, "o_proj": 6.0, "gate_up": 6.0, "down_proj": 30.0}
INPUTS = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "gate_proj": "gate_up", "up_proj": "gate_up"}


def _projections(config: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """Rows and columns of a layer's weights."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    q, kv = (config["head_dim"] * config[n] for n in ("num_attention_heads", "num_key_value_heads"))
    return {
        "self_attn.q_proj": (q, hidden),
        "self_attn.k_proj": (kv, hidden),
        "self_attn.v_proj": (kv, hidden),
        "self_attn.o_proj": (hidden, q),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
    }


def tensors(config: dict[str, Any], *, seed: int, device: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ``(file stem, tensors)`` for the embeddings and each layer. FP8 e4m3 weights with float32 scales."""
    import torch

    generator = torch.Generator(device=device).manual_seed(seed)
    hidden = config["hidden_size"]

    def normal(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, device=device, dtype=torch.float32) * WEIGHT_STD

    def ones() -> Any:
        return torch.ones(hidden, dtype=torch.bfloat16)

    yield (
        "ends",
        {
            "model.embed_tokens.weight": normal(config["vocab_size"], hidden).bfloat16().cpu(),
            "lm_head.weight": normal(config["vocab_size"], hidden).bfloat16().cpu(),
            "model.norm.weight": ones(),
        },
    )
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        out = {f"{prefix}{n}.weight": ones() for n in ("input_layernorm", "post_attention_layernorm")}
        for name, shape in _projections(config).items():
            weight = normal(*shape)
            scale = weight.abs().max() / FP8_MAX
            short = name.split(".")[1]
            out[f"{prefix}{name}.weight"] = (weight / scale).to(torch.float8_e4m3fn).cpu()
            out[f"{prefix}{name}.weight_scale"] = scale.cpu()
            out[f"{prefix}{name}.input_scale"] = torch.tensor(ACTIVATION_MAX[INPUTS.get(short, short)] / FP8_MAX)
        yield f"layer-{layer:02d}", out


def write(output: Path, *, shape: str, seed: int, device: str, on_file: Callable[[str], None]) -> None:
    """Write a Hugging Face folder of the packaged ``shape`` (8.5 GB for Llama-3.1-8B in FP8)."""
    from safetensors.torch import save_file

    source = Path(shapes.resolve(shapes.PREFIX + shape))
    config = json.loads((source / "config.json").read_text())
    output.mkdir(parents=True, exist_ok=True)
    index: dict[str, str] = {}
    for stem, part in tensors(config, seed=seed, device=device):
        name = f"{stem}.safetensors"
        save_file(part, output / name)
        index |= dict.fromkeys(part, name)
        on_file(name)
    (output / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    shutil.copy(source / "config.json", output / "config.json")
