"""What is asked of llm-compressor, and which groups fit a model."""

from __future__ import annotations

import pytest

from harness.calibrate.scheme import Activations, KvCache, Plan, Scheme, group_size
from mlperf_llama_base.errors import UserError

LLAMA, SMOL = [4096, 4096, 14336], [576, 576, 1536]


def test_groups() -> None:
    assert group_size(Scheme.W4A16, asked=None, widths=LLAMA) == 128
    assert group_size(Scheme.W4A16, asked=None, widths=SMOL) == 64
    assert group_size(Scheme.W4A16, asked=32, widths=SMOL) == 32
    assert group_size(Scheme.FP8, asked=None, widths=SMOL) is None
    with pytest.raises(UserError, match=r"576, 1536 inputs\): use 64 or 32"):
        group_size(Scheme.W4A16, asked=128, widths=SMOL)
    with pytest.raises(UserError, match="belongs to w4a16"):
        group_size(Scheme.FP8, asked=64, widths=LLAMA)
    with pytest.raises(UserError, match="no usual group size"):
        group_size(Scheme.W4A16, asked=None, widths=[100])


def test_what_is_asked() -> None:
    fp8 = Plan(scheme=Scheme.FP8).arguments
    group = fp8["config_groups"]["group_0"]
    assert (group["weights"]["type"], group["input_activations"]["dynamic"]) == ("float", False)
    assert fp8["ignore"] == ["lm_head"]
    assert fp8["kv_cache_scheme"]["num_bits"] == 8
    last = Plan(scheme=Scheme.W8A8, quantize_last_layer=True, kv_cache=KvCache.NONE, activations=Activations.DYNAMIC)
    assert last.arguments["ignore"] == [] and "kv_cache_scheme" not in last.arguments
    assert last.arguments["config_groups"]["group_0"]["input_activations"]["strategy"] == "token"
    four = Plan(scheme=Scheme.W4A16, group_size=64)
    assert "input_activations" not in four.arguments["config_groups"]["group_0"]
    assert four.words()["weights"] == "int4, one scale for 64 weights, symmetric"
    assert (four.modifier, Plan(scheme=Scheme.FP8).modifier) == ("GPTQModifier", "QuantizationModifier")
