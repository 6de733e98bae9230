"""Our own model classes under names of their own in vLLM's registry, in each process of vLLM. Imports no model."""

from __future__ import annotations

LLAMA = "LlamaForCausalLM"
LAST_LAYER = "LastLayerLlamaForCausalLM"


def register() -> None:
    from vllm import ModelRegistry

    ModelRegistry.register_model(LAST_LAYER, f"sut.engines.vllm_last_layer:{LAST_LAYER}")
