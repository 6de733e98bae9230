"""FP8 matrix products through ``torch._scaled_mm`` (cuBLASLt) instead of vLLM's CUTLASS kernels.

The same arithmetic (FP8 operands, fast accumulation, a scale for each token and each output channel), another library.
vLLM chooses CUTLASS for every FP8 layer on Hopper and offers ``torch._scaled_mm`` only for one scale per tensor, or
without fusing the scales. ``engine.args.fp8_gemm=torch`` puts this one in front; docs/performance.md has what it gains.

The choice travels in ``additional_config``, because vLLM hashes that into the names of its compiled graphs: a graph
compiled for one library is never run with the other.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm import _custom_ops as ops
from vllm.config import get_current_vllm_config
from vllm.model_executor.kernels.linear import _POSSIBLE_FP8_KERNELS
from vllm.model_executor.kernels.linear.scaled_mm.cutlass import CutlassFP8ScaledMMLinearKernel
from vllm.model_executor.layers.quantization.utils import replace_parameter
from vllm.platforms import PlatformEnum
from vllm.utils.torch_utils import direct_register_custom_op

OPTION = "fp8_gemm"
# For fewer tokens CUTLASS is faster: 88 us against 116 for the four products of a layer with one token, 103 against 112
# with 128; 138 against 121 with 192 (H100, torch 2.11, CUDA 13).
FEWEST_ROWS = 129

_library = torch.library.Library("mlperf_llama", "FRAGMENT")


def scaled_mm(a: torch.Tensor, b: torch.Tensor, a_scale: torch.Tensor, b_scale: torch.Tensor) -> torch.Tensor:
    """Return ``(a * a_scale) @ (b * b_scale)`` in bfloat16.

    ``a``: (M, K) float8, row-major; ``b``: (K, N) float8, column-major, both dimensions multiples of 16. Scales are
    float32: ``a_scale`` (M, 1) or one value, ``b_scale`` (1, N) or one value.
    """
    rows = a.shape[0]
    if rows < FEWEST_ROWS:
        return ops.cutlass_scaled_mm(a, b, a_scale, b_scale, torch.bfloat16)
    if b_scale.numel() > 1 and a_scale.numel() == 1:
        a_scale = a_scale.expand(rows, 1).contiguous()
    return torch._scaled_mm(a, b, scale_a=a_scale, scale_b=b_scale, out_dtype=torch.bfloat16, use_fast_accum=True)


def _shape_of_result(a: torch.Tensor, b: torch.Tensor, a_scale: torch.Tensor, b_scale: torch.Tensor) -> torch.Tensor:
    return a.new_empty((a.shape[0], b.shape[1]), dtype=torch.bfloat16)


class TorchScaledMM(CutlassFP8ScaledMMLinearKernel):  # type: ignore[misc]
    """vLLM's linear layer with ``torch._scaled_mm`` for the product; padding and quantising as in its base class."""

    @classmethod
    def can_implement(cls, c: Any) -> tuple[bool, str | None]:
        if get_current_vllm_config().additional_config.get(OPTION) != "torch":
            return False, "is not asked for (engine.args.fp8_gemm)"
        if c.out_dtype != torch.bfloat16:
            return False, "gives bfloat16 only"
        return True, None

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        super().process_weights_after_loading(layer)
        weight, scale, *_ = self._get_layer_params(layer)
        if scale.numel() > 1 or not self.config.activation_quant_key.scale.group_shape.is_per_tensor():
            columns = scale.float().reshape(1, -1).expand(1, weight.shape[1]).contiguous()
            replace_parameter(layer, self.layer_param_names[1], columns)

    def apply_scaled_mm(
        self,
        *,
        A: torch.Tensor,
        B: torch.Tensor,
        out_dtype: torch.dtype,
        As: torch.Tensor,
        Bs: torch.Tensor,
        bias: torch.Tensor | None,
        output_shape: list[int],
    ) -> torch.Tensor:
        if bias is not None or self.logical_output_size != B.shape[1] or A.shape[1] != B.shape[0]:
            return super().apply_scaled_mm(
                A=A, B=B, out_dtype=out_dtype, As=As, Bs=Bs, bias=bias, output_shape=output_shape
            )
        return torch.ops.mlperf_llama.scaled_mm(A, B, As, Bs).view(*output_shape)


def register() -> None:
    """Offer the kernel to vLLM, before its own."""
    kernels = _POSSIBLE_FP8_KERNELS[PlatformEnum.CUDA]
    if TorchScaledMM not in kernels:
        kernels.insert(0, TorchScaledMM)
        direct_register_custom_op(
            "scaled_mm", scaled_mm, fake_impl=_shape_of_result, target_lib=_library, dispatch_key="CUDA"
        )
