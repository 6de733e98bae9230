"""Stand-ins that the pre-flight's tests share: contexts, GPUs, model folders, data sets."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from harness import config
from harness.config import RunConfig
from harness.inventory.gpu import Gpu, GpuInventory
from harness.preflight.base import Context
from tests.helpers.rows import row, write_rows

GIB = 2**30
LLAMA_8B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rope_theta": 500000.0,
    "rms_norm_eps": 1e-5,
    "torch_dtype": "bfloat16",
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128008, 128009],
    "tie_word_embeddings": False,
    "rope_scaling": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
}


def make(gpus: GpuInventory | None = None, **tree: Any) -> Context:
    """A context of the configuration ``tree`` (dots as double underscores) on a machine with ``gpus``."""
    flags: dict[str, Any] = {}
    for key, value in tree.items():
        node: Any = value
        for part in reversed(key.split("__")):
            node = {part: node}
        flags = config.merge(flags, node)
    run_config: RunConfig = config.build(flags)
    context = Context(run_config)
    context.__dict__["gpus"] = gpus or GpuInventory(problem="NVML: NVML Shared Library Not Found")
    return context


def gpu(index: int = 0, **changes: Any) -> Gpu:
    """A healthy, idle H100."""
    values: dict[str, Any] = {
        "index": index,
        "name": "NVIDIA H100 80GB HBM3",
        "memory_total": 80 * GIB,
        "memory_free": 79 * GIB,
        "ecc": True,
        "ecc_errors": 0,
        "persistence": True,
        "power_limit_w": 700.0,
        "power_default_w": 700.0,
        "sm_clock_mhz": 345,
        "sm_clock_max_mhz": 1980,
        "sm_clock_application_mhz": 1980,
        "temperature_c": 31,
        "mig": False,
    }
    return Gpu(**(values | changes))


def node(*gpus: Gpu) -> GpuInventory:
    return GpuInventory(gpus=gpus, driver="580.65.06", cuda="13.0")


def safetensors(path: Path, names: list[str], *, size: int = 64) -> None:
    """Write a small but well-formed safetensors file of uint8 tensors."""
    header = {
        n: {"dtype": "U8", "shape": [size], "data_offsets": [i * size, (i + 1) * size]} for i, n in enumerate(names)
    }
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(size * len(names)))


def model_folder(path: Path, **config_changes: Any) -> Path:
    """A complete folder of two shards with Llama 3.1 8B's config."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(LLAMA_8B | config_changes))
    shards = {"model-00001-of-00002.safetensors": ["a", "b"], "model-00002-of-00002.safetensors": ["c"]}
    for name, tensors in shards.items():
        safetensors(path / name, tensors)
    index = {"metadata": {"total_size": 192}, "weight_map": {t: name for name, ts in shards.items() for t in ts}}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return path


def tokenizer_file(folder: Path, *, words: int = 300, shift: int = 0) -> None:
    """A byte-level tokenizer (every text round-trips) with a begin-of-text token, ``shift`` moving its ids."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers, processors

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    alphabet = alphabet[shift:] + alphabet[:shift]
    vocabulary = {"<bos>": 0} | {letter: i + 1 for i, letter in enumerate(alphabet)}
    vocabulary |= {f"<unused{i}>": len(vocabulary) + i for i in range(words - len(vocabulary))}
    built = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = decoders.ByteLevel()
    built.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    built.add_special_tokens(["<bos>"])
    folder.mkdir(parents=True, exist_ok=True)
    built.save(str(folder / "tokenizer.json"))


def dataset_file(path: Path, rows: list[tuple[str, list[int], str]]) -> Path:
    """Write MLCommons' JSON from (article, ids, summary)."""
    return write_rows(path, (row(ids, article=article, summary=summary) for article, ids, summary in rows))
