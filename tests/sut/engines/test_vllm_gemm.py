"""The FP8 matrix product in place of vLLM's own: registered in the real vLLM, computed where there is a GPU."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("vllm")

from vllm.config import VllmConfig, set_current_vllm_config  # noqa: E402
from vllm.model_executor.kernels.linear import _POSSIBLE_FP8_KERNELS  # noqa: E402
from vllm.platforms import PlatformEnum  # noqa: E402

from sut.engines import vllm_gemm  # noqa: E402

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class Wanted:
    out_dtype = torch.bfloat16


def test_vllm_is_offered_the_kernel_once_and_first() -> None:
    vllm_gemm.register()
    vllm_gemm.register()
    kernels = _POSSIBLE_FP8_KERNELS[PlatformEnum.CUDA]
    assert kernels.index(vllm_gemm.TorchScaledMM) == 0
    assert kernels.count(vllm_gemm.TorchScaledMM) == 1


@pytest.mark.parametrize(
    ("config", "takes"), [({}, False), ({"fp8_gemm": "vllm"}, False), ({"fp8_gemm": "torch"}, True)]
)
def test_the_kernel_is_taken_only_where_it_is_asked_for(config: dict[str, Any], takes: bool) -> None:
    with set_current_vllm_config(VllmConfig(additional_config=config)):
        assert vllm_gemm.TorchScaledMM.can_implement(Wanted())[0] is takes


def test_graphs_compiled_for_one_library_are_not_found_by_the_other() -> None:
    assert VllmConfig(additional_config={"fp8_gemm": "torch"}).compute_hash() != VllmConfig().compute_hash()


def operands(rows: int, columns: int = 256, inner: int = 512) -> tuple[Any, Any, Any, Any]:
    torch.manual_seed(rows)
    a = torch.randn(rows, inner, device="cuda").to(torch.float8_e4m3fn)
    b = torch.randn(columns, inner, device="cuda").to(torch.float8_e4m3fn).t()
    return a, b, torch.rand(rows, 1, device="cuda") + 0.5, torch.rand(1, columns, device="cuda") + 0.5


@gpu
@pytest.mark.parametrize("rows", [1, 128, 129, 511, 1403])
@pytest.mark.parametrize("scales", ["token-channel", "tensor-channel", "tensor-tensor"])
def test_products_are_those_of_plain_arithmetic(rows: int, scales: str) -> None:
    a, b, a_scale, b_scale = operands(rows)
    of_a, of_b = scales.split("-")
    a_scale = a_scale[:1].reshape(1) if of_a == "tensor" else a_scale
    b_scale = b_scale[0, :1] if of_b == "tensor" else b_scale
    expected = (a.float() * a_scale) @ (b.float() * b_scale)
    found = vllm_gemm.scaled_mm(a, b, a_scale, b_scale).float()
    assert found.shape == expected.shape
    # fast accumulation keeps about 14 bits, the result 8
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))
