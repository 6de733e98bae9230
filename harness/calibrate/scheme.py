"""What to make of a checkpoint, as plain data: the choice of the user, and llm-compressor's modifier that does it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NotRequired, TypedDict

from mlperf_llama_base.errors import UserError

GROUP_SIZES = (128, 64, 32)
LAST_LAYER = "lm_head"


class Scheme(StrEnum):
    """Weights and activations, as vLLM and llm-compressor name them."""

    FP8 = "fp8"
    W8A8 = "w8a8"
    W4A16 = "w4a16"


class Activations(StrEnum):
    """Scales of the activations: from the calibration data, or worked out for each token at run time."""

    STATIC = "static"
    DYNAMIC = "dynamic"


class KvCache(StrEnum):
    """FP8 with static scales, or as the model computes."""

    FP8 = "fp8"
    NONE = "none"


class Numbers(TypedDict):
    """How weights or activations are rounded, as compressed-tensors' QuantizationArgs has it."""

    num_bits: int
    type: str
    strategy: str
    symmetric: bool
    dynamic: bool
    group_size: NotRequired[int]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``group_size``: weights that share a scale (w4a16). ``quantize_last_layer``: lm_head as well."""

    scheme: Scheme
    activations: Activations = Activations.STATIC
    kv_cache: KvCache = KvCache.FP8
    quantize_last_layer: bool = False
    group_size: int | None = None

    @property
    def modifier(self) -> str:
        """GPTQ rounds integer weights with the calibration data; FP8 weights are rounded to the nearest."""
        return "QuantizationModifier" if self.scheme is Scheme.FP8 else "GPTQModifier"

    @property
    def arguments(self) -> dict[str, Any]:
        """The modifier's own arguments (llm-compressor's names)."""
        group = {"targets": ["Linear"], "weights": self._weights()}
        if self.scheme is not Scheme.W4A16:
            group["input_activations"] = self._inputs()
        arguments: dict[str, Any] = {
            "config_groups": {"group_0": group},
            "ignore": [] if self.quantize_last_layer else [LAST_LAYER],
        }
        if self.kv_cache is KvCache.FP8:
            arguments["kv_cache_scheme"] = _numbers(8, "float", "tensor", dynamic=False)
        return arguments

    def _weights(self) -> Numbers:
        if self.scheme is Scheme.FP8:
            return _numbers(8, "float", "tensor", dynamic=False)
        if self.scheme is Scheme.W8A8:
            return _numbers(8, "int", "channel", dynamic=False)
        return {**_numbers(4, "int", "group", dynamic=False), "group_size": self.group_size or GROUP_SIZES[0]}

    def _inputs(self) -> Numbers:
        kind = "float" if self.scheme is Scheme.FP8 else "int"
        if self.activations is Activations.STATIC:
            return _numbers(8, kind, "tensor", dynamic=False)
        return _numbers(8, kind, "token", dynamic=True)

    def words(self) -> dict[str, str]:
        """Weights, activations, KV cache, last layer and method in words, for the record."""
        static = "scales fixed beforehand on the calibration data (static), one a tensor"
        dynamic = "scales computed at run time for each token (dynamic)"
        kind = "fp8 (e4m3)" if self.scheme is Scheme.FP8 else "int8"
        weights = {
            Scheme.FP8: "fp8 (e4m3), one scale a tensor",
            Scheme.W8A8: "int8, one scale a channel",
            Scheme.W4A16: f"int4, one scale for {self.group_size or GROUP_SIZES[0]} weights",
        }
        inputs = f"{kind}, {static if self.activations is Activations.STATIC else dynamic}"
        return {
            "weights": f"{weights[self.scheme]}, symmetric",
            "activations": "as the model computes" if self.scheme is Scheme.W4A16 else inputs,
            "kv_cache": f"fp8 (e4m3), {static}" if self.kv_cache is KvCache.FP8 else "as the model computes",
            "last_layer": "quantised like the others" if self.quantize_last_layer else "as published",
            "method": "rounded to the nearest" if self.scheme is Scheme.FP8 else "GPTQ",
        }


def _numbers(bits: int, kind: str, strategy: str, *, dynamic: bool) -> Numbers:
    return {"num_bits": bits, "type": kind, "strategy": strategy, "symmetric": True, "dynamic": dynamic}


def group_size(scheme: Scheme, *, asked: int | None, widths: list[int]) -> int | None:
    """The group size of w4a16: what was asked for, else the largest usual one that divides every row of weights.

    ``widths``: inputs of the layers. Raises ``UserError`` where it does not divide them, or there are no groups.
    """
    if scheme is not Scheme.W4A16:
        if asked:
            raise UserError(f"--group-size belongs to w4a16; {scheme.value} has no groups: leave it out")
        return None
    fits = [size for size in GROUP_SIZES if not any(width % size for width in widths)]
    if asked and any(width % asked for width in widths):
        usable = f"use {' or '.join(map(str, fits))}" if fits else "this model has no usual one that does"
        raise UserError(f"--group-size {asked} does not divide the model's layers ({_list(widths)} inputs): {usable}")
    if not asked and not fits:
        raise UserError(f"no usual group size divides the model's layers ({_list(widths)} inputs): give --group-size")
    return asked or fits[0]


def _list(widths: list[int]) -> str:
    return ", ".join(map(str, sorted(set(widths))))
