"""The least that a step's three numbers can be on a card: bytes over its bandwidth, operations over its peak.

Data-sheet peaks, dense; no program reaches them (a large copy or product gets some 90 and 65 %). For Llama-3.1-8B:
6.98e9 weights in its layers, 0.53e9 in the last one, which stays in 16 bits; 32 layers of 8 heads of 128 for K and V.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sut.steps import StepSums, StepTimes

LAYER_WEIGHTS, LAST_WEIGHTS, KV_VALUES = 6.98e9, 0.525e9, 32 * 8 * 128 * 2
CONTEXT = 845  # tokens in the cache of a sequence that decodes, on average: 778 of the prompt and half of the answer
# Part of the GPU's name: bytes/s; FLOP/s in 16 and in 8 bits (NVIDIA's data sheets, SXM).
CARDS = {"H100": (3.35e12, 989e12, 1979e12), "H200": (4.8e12, 989e12, 1979e12)}


@dataclass(frozen=True, kw_only=True)
class Floors:
    a_ms: float
    c_us: float
    p_us: float


def floors(gpu: str, *, weight_dtype: str, kv_cache_dtype: str) -> Floors | None:
    """``None`` for a card whose data sheet is not here."""
    card = next((figures for name, figures in CARDS.items() if name in gpu), None)
    if card is None:
        return None
    bandwidth, slow, fast = card
    weight = 1 if "8" in weight_dtype else 2
    kv = 1 if "8" in kv_cache_dtype else 2
    return Floors(
        a_ms=1e3 * (LAYER_WEIGHTS * weight + LAST_WEIGHTS * 2) / bandwidth,
        c_us=1e6 * KV_VALUES * kv * CONTEXT / bandwidth,
        p_us=1e6 * 2 * LAYER_WEIGHTS / (fast if weight == 1 else slow),
    )


def sentence(times: StepTimes, least: Floors | None) -> str:
    """The three numbers for people, with their standard errors, beside the floors."""

    def one(value: float, error: float, unit: str, floor: float | None) -> str:
        beside = f" (the card's floor is {floor:.3g})" if floor is not None else ""
        return f"{value:.3g} ± {error:.1g} {unit}{beside}"

    slow = (
        f" One that reads prompts takes {times.launch_ms:.3g} ms or more, however few: as long as launching it does."
        if times.launch_ms
        else ""
    )
    return (
        f"A step takes {one(times.a_ms, times.a_error, 'ms', least.a_ms if least else None)}, and more: "
        f"{one(times.c_us, times.c_error, 'µs', least.c_us if least else None)} for each sequence that decodes, "
        f"{one(times.p_us, times.p_error, 'µs', least.p_us if least else None)} for each token of a prompt; "
        f"{times.steps:,} steps.{slow}"
    )


def step_times(live_facts: Mapping[str, Mapping[str, Any]]) -> StepTimes | None:
    """What a step of all workers takes, from their ``live_facts``; ``None`` if those cannot tell."""
    sums = StepSums()
    for facts in live_facts.values():
        sums += StepSums(facts.get("step_sums") or ())
    times = sums.fit()
    return times if times is not None and times.sound else None


def in_words(live_facts: Mapping[str, Mapping[str, Any]], engine: Any) -> str | None:
    """:func:`step_times` for people. ``engine``: what it said of itself (``gpu`` in its ``facts``, ``weight_dtype``,
    ``kv_cache_dtype``), or None."""
    times = step_times(live_facts)
    if times is None:
        return None
    least, gpu = None, ""
    if engine is not None:
        gpu = str(engine.facts.get("gpu", ""))
        least = floors(gpu, weight_dtype=str(engine.weight_dtype), kv_cache_dtype=str(engine.kv_cache_dtype))
    return " ".join([sentence(times, least), *(launches(live_facts) if gpu else [])])


def launches(live_facts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What launching a step on a GPU takes the host, for people: a sentence, or none where no engine tells."""
    kinds: dict[str, list[float]] = {}
    for facts in live_facts.values():
        for kind, found in (facts.get("launches") or {}).items():
            count, seconds = kinds.get(kind, (0.0, 0.0))
            kinds[kind] = [count + found["count"], seconds + found["count"] * found["mean_ms"]]
    said = [f"{ms / count:.3g} ms ({kind})" for kind, (count, ms) in sorted(kinds.items()) if count]
    return [f"Launching one takes the host {', '.join(said)}, and a step no less."] if said else []
