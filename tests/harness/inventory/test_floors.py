"""The three numbers of a step as the report gives them: two workers' steps together, beside the card's floors."""

from __future__ import annotations

from harness.inventory.floors import floors, in_words, sentence
from harness.rundir.session import Engine
from sut.steps import Block, StepSums, StepTimes


def sums(seed: int) -> list[float]:
    found = StepSums()
    for number in range(seed, seed + 60):
        decoding, prompt = 50 + 7 * (number % 20), 130 * (number % 13)
        block = Block()
        for _ in range(8):
            block.add(5.0 + 0.036 * decoding + 0.0124 * prompt, decoding=decoding, prompt_tokens=prompt)
        found.add_block(block)
    return [float(value) for value in found.values]


def engine(gpu: str) -> Engine:
    return Engine(
        name="vllm", version="0.26.0", capacity=512, weight_dtype="fp8", kv_cache_dtype="fp8", facts={"gpu": gpu}
    )


def test_the_numbers_are_those_of_all_workers_beside_the_cards_floors() -> None:
    said = in_words({"0": {"step_sums": sums(0)}, "1": {"step_sums": sums(7)}}, engine("NVIDIA H100 80GB HBM3"))
    assert said is not None
    assert said.startswith("A step takes 5 ± ")
    assert "ms (the card's floor is 2.4)" in said
    assert "36 ± " in said
    assert "12.4 ± " in said
    assert "960 steps" in said


def test_what_the_launches_take_is_said_beside_them_on_a_gpu() -> None:
    launches = {"decode": {"count": 10, "mean_ms": 2.0}, "with prompts": {"count": 30, "mean_ms": 24.0}}
    live = {
        "0": {"step_sums": sums(0), "launches": launches},
        "1": {"step_sums": sums(7), "launches": {"with prompts": {"count": 10, "mean_ms": 28.0}}},
    }
    said = in_words(live, engine("NVIDIA H100 80GB HBM3"))
    assert said is not None
    assert said.endswith("Launching one takes the host 2 ms (decode), 25 ms (with prompts), and a step no less.")
    assert "Launching" not in (in_words(live, engine("")) or "")


def test_a_step_that_is_as_long_as_its_launches_is_told() -> None:
    times = StepTimes(a_ms=5, c_us=36, p_us=12.4, steps=900, launch_ms=23.6)
    assert sentence(times, None).endswith(
        "One that reads prompts takes 23.6 ms or more, however few: as long as launching it does."
    )
    assert "launching" not in sentence(StepTimes(a_ms=5, c_us=36, p_us=12.4), None)


def test_a_card_without_a_data_sheet_has_no_floors() -> None:
    said = in_words({"0": {"step_sums": sums(0)}}, engine("Some Card"))
    assert said is not None
    assert "floor" not in said
    assert floors("Some Card", weight_dtype="fp8", kv_cache_dtype="fp8") is None


def test_nothing_is_said_where_nothing_was_recorded() -> None:
    assert in_words({"0": {}}, None) is None
    assert in_words({}, None) is None


def test_wider_numbers_have_higher_floors() -> None:
    narrow = floors("NVIDIA H200", weight_dtype="fp8", kv_cache_dtype="fp8")
    wide = floors("NVIDIA H200", weight_dtype="bfloat16", kv_cache_dtype="bfloat16")
    assert narrow and wide
    assert wide.c_us == 2 * narrow.c_us
    assert wide.p_us > 1.9 * narrow.p_us
    assert wide.a_ms > 1.7 * narrow.a_ms
