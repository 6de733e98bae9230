"""What config.json says of number formats, as compressed-tensors writes it."""

from __future__ import annotations

from typing import Any

import pytest

from sut.engines.quantized import activation_scheme, weight_format


def stated(weights: dict[str, Any], inputs: dict[str, Any] | None) -> dict[str, Any]:
    return {"config_groups": {"group_0": {"weights": weights, "input_activations": inputs}}}


@pytest.mark.parametrize(
    ("config", "weights", "scheme"),
    [
        (stated({"num_bits": 8, "type": "float"}, {"dynamic": False}), "fp8", "static"),
        (stated({"num_bits": 8, "type": "int"}, {"dynamic": True}), "int8", "dynamic"),
        (stated({"num_bits": 4, "type": "int"}, None), "int4", "none"),
        ({"quant_method": "fp8", "activation_scheme": "static"}, None, None),
        (None, None, None),
        ({"config_groups": {"group_0": None}}, None, None),
    ],
)
def test_formats(config: Any, weights: str | None, scheme: str | None) -> None:
    assert weight_format(config) == weights
    assert activation_scheme(config) == scheme
