"""Attention of a mixed step in two calls: ``engine.args.mixed_attention=apart``.

A step mixes sequences that decode, one query each over a long cache, with prompts, many queries each. FlashAttention 3
takes both in one call, with the causal kernel that the prompts need; a call for the decoding sequences alone runs the
kernel that a pure decode step runs, which is faster for them. vLLM sorts a batch so that those come first.
docs/performance.md has what it gains.

Each layer's attention is an operation of its own between two CUDA graphs, so the second call costs a launch and no
graph. Steps that only decode, or only read prompts, are as before.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np

VARIABLE = "MLPERF_LLAMA_MIXED_ATTENTION"  # set in the environment of vLLM's processes
DECODING = "mlperf_llama_decoding"  # attribute of the prompts' metadata: that of the sequences that decode


def wanted() -> bool:
    return os.environ.get(VARIABLE) == "apart"


def register() -> None:
    """Make two calls possible in the process that holds the model, once; the variable decides at each step."""
    if not wanted():
        return
    backend = _backend()
    builder, impl = backend.get_builder_cls(), backend.get_impl_cls()
    if hasattr(builder, "mlperf_llama_apart"):
        return
    own_builder, own_impl = _builder(builder), _impl(impl)
    backend.get_builder_cls = staticmethod(lambda: own_builder)
    backend.get_impl_cls = staticmethod(lambda: own_impl)


def _backend() -> Any:
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend

        return CPUAttentionBackend
    from vllm.v1.attention.backends.flash_attn import FlashAttentionBackend

    return FlashAttentionBackend


def _builder(builder: type[Any]) -> type[Any]:
    """A builder of attention metadata for the prompts of a mixed step, with that of the rest as an attribute."""

    class ApartBuilder(builder):  # type: ignore[misc]
        mlperf_llama_apart = True

        def build(self, common_prefix_len: int, common_attn_metadata: Any, fast_build: bool = False) -> Any:
            common = common_attn_metadata
            decoding = leading_decodes(common) if common.max_query_len > 1 and wanted() else 0
            if not decoding:
                return super().build(common_prefix_len, common, fast_build)
            of_decoding = super().build(0, part(common, 0, decoding), fast_build)
            if getattr(self, "scheduler_metadata", None) is not None:  # the builder's one buffer for it
                of_decoding.scheduler_metadata = of_decoding.scheduler_metadata.clone()
            of_prompts = super().build(0, part(common, decoding, common.num_reqs), fast_build)
            setattr(of_prompts, DECODING, of_decoding)
            return of_prompts

    return ApartBuilder


def _impl(impl: type[Any]) -> type[Any]:
    class ApartImpl(impl):  # type: ignore[misc]
        def forward(
            self,
            layer: Any,
            query: Any,
            key: Any,
            value: Any,
            kv_cache: Any,
            attn_metadata: Any,
            output: Any,
            output_scale: Any = None,
            output_block_scale: Any = None,
        ) -> Any:
            forward = super().forward
            of_decoding = getattr(attn_metadata, DECODING, None)
            if of_decoding is None:
                return forward(
                    layer, query, key, value, kv_cache, attn_metadata, output, output_scale, output_block_scale
                )
            n = of_decoding.num_actual_tokens
            forward(layer, query[:n], key[:n], value[:n], kv_cache, of_decoding, output[:n])
            forward(layer, query[n:], key[n:], value[n:], kv_cache, attn_metadata, output[n:])
            return output

    return ApartImpl


def leading_decodes(common: Any) -> int:
    """How many requests at the head of the batch have a single query."""
    queries = np.diff(common.query_start_loc_cpu[: common.num_reqs + 1].numpy())
    return int(np.argmax(queries != 1)) if (queries != 1).any() else len(queries)


def part(common: Any, first: int, end: int) -> Any:
    """The metadata of requests ``first`` to ``end`` alone. Those before ``first`` have one query each."""
    starts = slice(first, end + 1)
    cpu = common.query_start_loc_cpu[starts]
    tokens = slice(first, int(cpu[-1]) if end < common.num_reqs else common.num_actual_tokens)
    changed: dict[str, Any] = {
        "query_start_loc": common.query_start_loc[starts] - first if first else common.query_start_loc[starts],
        "query_start_loc_cpu": cpu - first,
        "num_reqs": end - first,
        "num_actual_tokens": tokens.stop - first,
        "max_query_len": common.max_query_len if first else 1,
        "seq_lens": common.seq_lens[first:end],
        "block_table_tensor": common.block_table_tensor[first:end],
        "slot_mapping": common.slot_mapping[tokens],
    }
    for name in ("is_prefilling", "seq_lens_cpu_upper_bound", "_seq_lens_cpu", "_num_computed_tokens_cpu"):
        if (value := getattr(common, name, None)) is not None:
            changed[name] = value[first:end]
    if getattr(common, "_num_computed_tokens_cache", None) is not None:
        changed["_num_computed_tokens_cache"] = None
    return dataclasses.replace(common, **changed)
