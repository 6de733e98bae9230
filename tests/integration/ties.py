"""Where two runs gave a sample different tokens: were both candidates rated equal, so that another batch flips them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Tokens = tuple[int, ...]
RELATIVE = 1e-5  # float32 has seven digits, and a sum over a few thousand terms loses up to two of them


def count_ties(
    left: Mapping[int, Tokens], right: Mapping[int, Tokens], *, model: Path, prompts: Sequence[Sequence[int]]
) -> int:
    """Compare two runs' tokens by sample; returns how many samples differ.

    Fails if they are not of the same samples, or if at the first token that differs the model (float32, one prompt
    alone) does not rate both candidates highest and equal.
    """
    assert left.keys() == right.keys()
    differing = sorted(index for index in left if left[index] != right[index])
    if not differing:
        return 0
    network = _load(model)
    for index in differing:
        a, b = left[index], right[index]
        at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), None)
        assert at is not None, f"sample {index}: one answer is the start of the other: {a} and {b}"
        logits = network([*prompts[index], *a[:at]])
        top, one, other = float(logits.max()), float(logits[a[at]]), float(logits[b[at]])
        for value in (one, other):
            assert abs(top - value) <= RELATIVE * abs(top), (
                f"sample {index}, token {at}: {a[at]} has {one}, {b[at]} has {other}, the highest is {top}: no tie"
            )
    return len(differing)


def _load(model: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)

    def last_logits(ids: list[int]) -> Any:
        with torch.inference_mode():
            return network(torch.tensor([ids])).logits[0, -1]

    return last_logits
