"""The last layer only where its result is used: ``engine.args.last_layer=needed``.

A prompt's tokens but the last yield no logits, so of the last layer they need their K and V in the cache and nothing
else: no attention, no output product, no MLP. With 32 layers that is 2.8 % of a prompt's products. The inference rules
allow it as dead code elimination (inference_rules.adoc, model equivalence); the tokens are the same.

vLLM's Llama is kept as it is, weights, names and quantisation included; its forward pass is cut in two. ``Head`` runs
on all tokens, up to the last layer's K and V in the cache. ``Tail`` runs on the rows that yield logits: the last token
of each request, where a step holds prompts, and all rows where it only decodes (which stays one CUDA graph).
The last layer's attention needs metadata of its own for that: one query for each request (``_for_last_tokens``).

Each half is compiled by itself; on mixed steps the tail is launched kernel by kernel behind the head's graphs, which
costs the GPU nothing, since it is still busy with the head by then.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from vllm.compilation.backends import set_model_tag
from vllm.compilation.decorators import ignore_torch_compile, support_torch_compile
from vllm.config import CUDAGraphMode, VllmConfig
from vllm.forward_context import ForwardContext, get_forward_context
from vllm.model_executor.layers.attention.attention import _encode_layer_name
from vllm.model_executor.models.llama import LlamaForCausalLM, LlamaModel
from vllm.v1.attention.backend import subclass_attention_backend

ROWS = "mlperf_llama_rows"  # attribute of the last layer's attention metadata: the rows that it is made for


@support_torch_compile(dynamic_arg_dims={"input_ids": 0, "positions": 0})
class Head(nn.Module):  # type: ignore[misc]
    """All layers but the last, and of that its K and V."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "", model: Any) -> None:
        super().__init__()
        self.embed_tokens = model.embed_tokens
        self.layers = model.layers[:-1]
        last = model.layers[-1]
        self.norm, self.attention = last.input_layernorm, last.self_attn
        self.layer_name = _encode_layer_name(last.self_attn.attn.layer_name)

    def forward(self, input_ids: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return q, k, v and the residual of the last layer ([tokens, ...]), and what orders the write to the cache."""
        hidden, residual = self.embed_tokens(input_ids), None
        for layer in self.layers:
            hidden, residual = layer(positions, hidden, residual)
        hidden, residual = self.norm(hidden, residual)
        attention = self.attention
        qkv, _ = attention.qkv_proj(hidden)
        q, k, v = qkv.split([attention.q_size, attention.kv_size, attention.kv_size], dim=-1)
        q, k = attention.rotary_emb(positions, q, k)
        shape = (-1, attention.attn.num_kv_heads, attention.attn.head_size)
        k, v = k.view(shape), v.view(shape)
        written = torch.ops.vllm.unified_kv_cache_update(k, v, self.layer_name)
        return q, k, v, residual, written


@support_torch_compile(dynamic_arg_dims={"q": 0, "k": 0, "v": 0, "residual": 0})
class Tail(nn.Module):  # type: ignore[misc]
    """The rest of the last layer, and the norm before the logits."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "", model: Any) -> None:
        super().__init__()
        last = model.layers[-1]
        self.attention, self.mlp = last.self_attn, last.mlp
        self.post_attention_layernorm, self.norm = last.post_attention_layernorm, model.norm
        self.layer_name = _encode_layer_name(last.self_attn.attn.layer_name)

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, residual: torch.Tensor, written: torch.Tensor
    ) -> torch.Tensor:
        attn, dtype = self.attention.attn, q.dtype
        if attn.query_quant is not None:
            q, _ = attn.query_quant(q, attn._q_scale)
        output = torch.empty((q.shape[0], attn.num_heads, attn.head_size), dtype=dtype, device=q.device)
        torch.ops.vllm.unified_attention_with_output(
            q.view(-1, attn.num_heads, attn.head_size), k, v, output, self.layer_name, kv_cache_dummy_dep=written
        )
        hidden, _ = self.attention.o_proj(output.view(-1, attn.num_heads * attn.head_size))
        hidden, residual = self.post_attention_layernorm(hidden, residual)
        hidden, _ = self.norm(self.mlp(hidden), residual)
        return hidden


@ignore_torch_compile
class LastLayerLlamaModel(LlamaModel):  # type: ignore[misc]
    """vLLM's model, run in two halves."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "", **kwargs: Any) -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix, **kwargs)
        check(vllm_config)
        attn = self.layers[-1].self_attn.attn
        attn.attn_backend = subclass_attention_backend(
            "LastTokens", attn.attn_backend, _for_last_tokens(attn.attn_backend.get_builder_cls())
        )
        self._last = attn.layer_name
        with set_model_tag("head"):
            self.head = Head(vllm_config=vllm_config, prefix=f"{prefix}.head", model=self)
        with set_model_tag("tail"):
            self.tail = Tail(vllm_config=vllm_config, prefix=f"{prefix}.tail", model=self)

    def forward(
        self,
        input_ids: torch.Tensor | None,
        positions: torch.Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return hidden states [tokens, size]; of a step with prompts only those rows hold any that yield logits."""
        assert input_ids is not None and inputs_embeds is None
        q, k, v, residual, written = self.head(input_ids=input_ids, positions=positions)
        context = get_forward_context()
        rows = self._rows(context)
        with _without_pieces(context):
            if rows is None:
                return self.tail(q=q, k=k, v=v, residual=residual, written=written)
            few = self.tail(q=q[rows], k=k[rows], v=v[rows], residual=residual[rows], written=written)
        hidden = few.new_empty((positions.shape[0], few.shape[1]))
        hidden[rows] = few
        return hidden

    def _rows(self, context: ForwardContext) -> torch.Tensor | None:
        metadata = context.attn_metadata
        return getattr(metadata.get(self._last), ROWS, None) if isinstance(metadata, dict) else None


class LastLayerLlamaForCausalLM(LlamaForCausalLM):  # type: ignore[misc]
    """vLLM's Llama with :class:`LastLayerLlamaModel` inside."""

    def _init_model(self, vllm_config: VllmConfig, prefix: str = "", **kwargs: Any) -> LastLayerLlamaModel:
        return LastLayerLlamaModel(vllm_config=vllm_config, prefix=prefix, **kwargs)


def check(config: VllmConfig) -> None:
    """Raise ``ValueError`` for a set-up in which rows cannot be left out."""
    parallel, graphs = config.parallel_config, config.compilation_config.cudagraph_mode
    if parallel.pipeline_parallel_size > 1:
        raise ValueError("last_layer=needed: not with pipeline parallelism")
    if getattr(parallel, "enable_dbo", False):
        raise ValueError("last_layer=needed: not with dual batch overlap")
    if graphs is not None and graphs.mixed_mode() == CUDAGraphMode.FULL:
        raise ValueError("last_layer=needed: not with cudagraph_mode FULL (the default, FULL_AND_PIECEWISE, is right)")


def _for_last_tokens(builder: type[Any]) -> type[Any]:
    """A builder of attention metadata that, in a step with prompts, is for the last token of each request alone."""

    class LastTokens(builder):  # type: ignore[misc]
        _starts: torch.Tensor | None = None

        def build(self, common_prefix_len: int, common_attn_metadata: Any, fast_build: bool = False) -> Any:
            common = common_attn_metadata
            if common.max_query_len <= 1:
                return super().build(common_prefix_len, common, fast_build)
            requests = common.num_reqs
            if self._starts is None or len(self._starts) <= requests:
                self._starts = torch.arange(
                    2 * requests + 1024, dtype=common.query_start_loc.dtype, device=common.query_start_loc.device
                )
                self._starts_cpu = self._starts.cpu()
            rows = common.query_start_loc[1 : requests + 1] - 1
            trimmed = dataclasses.replace(
                common,
                query_start_loc=self._starts[: requests + 1],
                query_start_loc_cpu=self._starts_cpu[: requests + 1],
                num_actual_tokens=requests,
                max_query_len=1,
            )
            metadata = super().build(0, trimmed, fast_build)
            setattr(metadata, ROWS, rows)
            return metadata

    return LastTokens


@contextmanager
def _without_pieces(context: ForwardContext) -> Iterator[None]:
    """Run what is inside without piecewise CUDA graphs: they go by the step's number of rows, and this has fewer."""
    mode = context.cudagraph_runtime_mode
    if mode == CUDAGraphMode.PIECEWISE:
        context.cudagraph_runtime_mode = CUDAGraphMode.NONE
    try:
        yield
    finally:
        context.cudagraph_runtime_mode = mode
