"""The three numbers of a step: found again in steps made from them, and no claim where they cannot be told."""

from __future__ import annotations

import numpy as np
import pytest

from sut.engines.vllm_planning import padding
from sut.steps import BLOCK, Regression, StepSums, StepTimes

H100 = StepTimes(a_ms=4.8, c_us=31, p_us=13.6)


def steps(count: int, *, seed: int = 0, noise: float = 0.03) -> list[tuple[float, int, int]]:
    """(ms, decoding, prompt tokens) of steps as an engine at an Interactive rate makes them."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        decoding = int(random.integers(50, 250))
        prompt = int(random.integers(70, 2000)) if random.random() < 1 / 3 else 0
        ms = H100.step_ms(decoding=decoding, prompt_tokens=prompt)
        found.append((ms * float(np.exp(random.normal(0, noise))), decoding, prompt))
    return found


def summed(found: list[tuple[float, int, int]]) -> StepSums:
    sums = StepSums()
    for ms, decoding, prompt in found:
        sums.add(ms, decoding=decoding, prompt_tokens=prompt)
    return sums


def test_the_numbers_are_found_within_their_errors() -> None:
    misses = []
    for seed in range(20):
        fit = summed(steps(3000, seed=seed)).fit()
        assert fit is not None
        assert fit.steps == 3000
        assert fit.a_ms == pytest.approx(4.8, rel=0.03)
        assert fit.c_us == pytest.approx(31, rel=0.03)
        assert fit.p_us == pytest.approx(13.6, rel=0.01)
        misses += [(fit.a_ms - 4.8) / fit.a_error, (fit.c_us - 31) / fit.c_error, (fit.p_us - 13.6) / fit.p_error]
    assert 0.5 < float(np.std(misses)) < 2.0  # an error is neither a boast nor an excuse


def test_sums_of_workers_add_up_and_those_before_are_taken_off() -> None:
    found = steps(900)
    parts = [summed(found[:300]), summed(found[300:])]
    assert (parts[0] + parts[1]).values == pytest.approx(summed(found).values)
    later = (summed(found) - parts[0]).fit()
    alone = parts[1].fit()
    assert later is not None
    assert alone is not None
    assert later.p_us == pytest.approx(alone.p_us)
    assert StepSums(summed(found).values.tolist()).fit() is not None


@pytest.mark.parametrize("decoding", [[1], [7]], ids=["one query at a time", "always the same batch"])
def test_steps_that_are_all_alike_tell_nothing(decoding: list[int]) -> None:
    sums = StepSums()
    for number in range(500):
        prompt = 0 if number % 100 else 700
        sums.add(4.4 + 0.0136 * prompt, decoding=decoding[0], prompt_tokens=prompt)
    assert sums.fit() is None
    assert StepSums().fit() is None


def test_steps_that_waited_for_something_else_are_left_out() -> None:
    regression = Regression()
    for number, (ms, decoding, prompt) in enumerate(steps(2000)):
        regression.add(ms + (900 if number % 500 == 499 else 0), decoding=decoding, prompt_tokens=prompt)
    assert regression.sums.ignored == 4 * BLOCK
    assert regression.times is not None
    assert regression.times.a_ms == pytest.approx(4.8, rel=0.1)


def test_time_that_neighbours_lend_each_other_leans_on_nothing() -> None:
    """As on an H100: the launches of a step with prompts delay the output of the step before it."""
    regression, single = Regression(), StepSums()
    found = steps(20_000)
    lent = [4.0 if prompt else 0.0 for _, _, prompt in found[1:]] + [0.0]
    for number, (ms, decoding, prompt) in enumerate(found):
        ms += lent[number] - (lent[number - 1] if number else 0.0)
        regression.add(ms, decoding=decoding, prompt_tokens=prompt)
        single.add(ms, decoding=decoding, prompt_tokens=prompt)
    alone = single.fit()
    assert alone is not None
    assert alone.p_us < 12.5  # what single steps say
    assert regression.times is not None
    assert regression.times.p_us == pytest.approx(13.6, rel=0.03)
    assert regression.times.a_ms == pytest.approx(4.8, rel=0.06)


def test_a_card_that_slows_down_is_noticed_within_seconds() -> None:
    regression = Regression()
    for ms, decoding, prompt in steps(2000):
        regression.add(ms, decoding=decoding, prompt_tokens=prompt)
    assert regression.drift == pytest.approx(1.0, abs=0.02)
    for ms, decoding, prompt in steps(600, seed=1):
        regression.add(1.2 * ms, decoding=decoding, prompt_tokens=prompt)
    assert 1.1 < regression.drift < 1.25


@pytest.mark.parametrize("launch_ms", [16.0, 20.0, 24.0])
def test_launches_that_take_longer_than_what_is_read_are_found(launch_ms: float) -> None:
    """A third of the steps reads 70 to 2,000 tokens: with 24 ms nearly all of those are as long as their launches."""
    regression = Regression()
    for ms, decoding, prompt in steps(20_000):
        ms = max(ms, launch_ms) if prompt else ms
        regression.add(ms, decoding=decoding, prompt_tokens=prompt)
    for ms, decoding, prompt in [
        (H100.step_ms(decoding=d, prompt_tokens=p), d, p) for d in (100, 400) for p in (4000, 7000)
    ]:
        for _ in range(50 * BLOCK):  # the full engine's
            regression.add(ms, decoding=decoding, prompt_tokens=prompt)
    fit = regression.sums.fit()
    assert fit is not None
    assert fit.launch_ms == pytest.approx(launch_ms, rel=0.03)
    assert fit.a_ms == pytest.approx(4.8, rel=0.06)
    assert fit.c_us == pytest.approx(31, rel=0.06)
    assert fit.p_us == pytest.approx(13.6, rel=0.02)


def test_no_launches_are_seen_where_none_are_long() -> None:
    for seed in range(10):
        regression = Regression()
        for ms, decoding, prompt in steps(4000, seed=seed):
            regression.add(ms, decoding=decoding, prompt_tokens=prompt)
        fit = regression.sums.fit()
        assert fit is not None
        assert (fit.launch_ms, fit.bend_ms) == (0.0, 0.0)


@pytest.mark.parametrize(("bend_ms", "found_ms"), [(0.3, 0.3), (-0.3, 0.0)], ids=["attention", "a card that warmed up"])
def test_long_steps_that_take_more_a_token_are_found(bend_ms: float, found_ms: float) -> None:
    """Not those that take less: they were the full engine's, when the card was cold."""
    regression, random = Regression(), np.random.default_rng(0)
    for ms, decoding, prompt in steps(6000):
        more = bend_ms * (prompt / 1e3) ** 2
        regression.add(ms + more, decoding=decoding, prompt_tokens=prompt)
    for _ in range(400):
        decoding, prompt = int(random.integers(350, 500)), int(random.integers(4000, 8000))
        for _ in range(BLOCK):
            ms = H100.step_ms(decoding=decoding, prompt_tokens=prompt) + bend_ms * (prompt / 1e3) ** 2
            regression.add(ms, decoding=decoding, prompt_tokens=prompt)
    fit = regression.sums.fit()
    assert fit is not None
    assert fit.bend_ms == pytest.approx(found_ms, abs=0.03)
    if found_ms:
        assert fit.p_us == pytest.approx(13.6, rel=0.02)
        assert fit.step_ms(decoding=400, prompt_tokens=8000) == pytest.approx(4.8 + 12.4 + 108.8 + 19.2, rel=0.02)


def test_padding_takes_as_long_as_prompts_do_and_leans_on_nothing() -> None:
    regression = Regression()
    for _, decoding, prompt in steps(8000):
        more = padding(decoding + prompt, range(256, 8193, 256))
        ms = H100.step_ms(decoding=decoding, prompt_tokens=prompt + more)
        regression.add(ms, decoding=decoding, prompt_tokens=prompt, padding=more)
    fit = regression.sums.fit()
    assert fit is not None
    assert (fit.a_ms, fit.c_us, fit.p_us) == pytest.approx((4.8, 31, 13.6), rel=1e-6)
    assert fit.launch_ms == 0.0


def test_sums_of_an_older_release_tell_nothing() -> None:
    assert StepSums([1.0] * 12).fit() is None


def test_room_for_prompts_is_what_is_left_of_a_step() -> None:
    room = H100.prompt_tokens(within_ms=28.5, decoding=200)
    assert H100.step_ms(decoding=200, prompt_tokens=room) == pytest.approx(28.5)
    assert H100.prompt_tokens(within_ms=10, decoding=400) < 0


def test_offline_speed_follows() -> None:
    assert H100.samples_per_second(sequences=512, prompt_tokens=775, output_tokens=128) == pytest.approx(63.8, abs=0.1)
