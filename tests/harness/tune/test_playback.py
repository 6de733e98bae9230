"""Long runs in virtual time: the same latencies as the null engine's, and what holding a step's time is worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.tune.playback import Played, Player, arrivals, play
from qsl.synthetic import lengths
from sut.steps import StepTimes

H100 = StepTimes(a_ms=4.8, c_us=31, p_us=13.6)
SIZES = lengths(13_368, seed=0)


def played(player: Player, *, rate: float, seconds: float = 300, seed: int = 0) -> Played:
    count = int(rate * seconds)
    order = np.random.default_rng(seed).integers(0, len(SIZES), count)
    return play(player, arrival_ms=arrivals(rate, count=count, seed=seed), lengths=SIZES[order])


def test_one_query_alone_takes_its_prompt_and_its_tokens() -> None:
    found = play(Player(times=H100), arrival_ms=np.array([100.0]), lengths=np.array([1000], np.int32))
    assert found.ttft_ms == pytest.approx([4.8 + 13.6])
    assert found.tpot_ms == pytest.approx([4.8 + 0.031])
    assert found.seconds == pytest.approx((100 + 4.8 + 13.6 + 127 * 4.831) / 1e3)


def test_a_prompt_longer_than_a_step_is_read_in_chunks() -> None:
    player = Player(times=H100, max_num_batched_tokens=512)
    found = play(player, arrival_ms=np.array([0.0]), lengths=np.array([1200], np.int32))
    assert found.ttft_ms == pytest.approx([3 * 4.8 + 1.2 * 13.6])


def test_all_at_once_take_what_the_three_numbers_say() -> None:
    found = play(Player(times=H100), arrival_ms=np.zeros(13_368), lengths=SIZES)
    rate = 13_368 / found.seconds
    mean = float(SIZES.mean())
    assert rate == pytest.approx(
        H100.samples_per_second(sequences=512, prompt_tokens=mean, output_tokens=128), rel=0.02
    )


def test_a_single_token_ends_with_its_prompt() -> None:
    found = play(Player(times=H100, output_tokens=1), arrival_ms=np.array([0.0]), lengths=np.array([10], np.int32))
    assert found.tpot_ms.tolist() == [0.0]


def test_steps_held_to_a_length_keep_a_burst_from_those_that_decode() -> None:
    free, held = (played(Player(times=H100, held_ms=ms), rate=53) for ms in (None, 29.0))
    over = [float((p.tpot_ms > 30).mean()) for p in (free, held)]
    assert over[0] > 0.01 > over[1]
    assert float((held.ttft_ms > 500).mean()) < 0.01


def test_holding_costs_an_engine_that_is_not_bound_by_its_steps_nothing() -> None:
    free, held = (played(Player(times=H100, held_ms=ms), rate=30) for ms in (None, 29.0))
    assert np.quantile(held.tpot_ms, 0.99) == pytest.approx(np.quantile(free.tpot_ms, 0.99), rel=0.05)
    assert held.seconds == pytest.approx(free.seconds, rel=0.01)


def test_a_step_is_padded_to_its_graph() -> None:
    player = Player(times=H100, graphs=(1, 8, 1024))
    found = play(player, arrival_ms=np.array([0.0]), lengths=np.array([1000], np.int32))
    assert found.ttft_ms == pytest.approx([4.8 + 1024 * 0.0136])
    assert found.tpot_ms == pytest.approx([4.831])  # one sequence fills the graph of one


def test_a_held_step_ends_at_a_graph() -> None:
    player = Player(times=H100, held_ms=4.8 + 0.0136 * 1000, graphs=(512, 1024))
    found = play(player, arrival_ms=np.array([0.0]), lengths=np.array([1024], np.int32))
    assert found.ttft_ms == pytest.approx([2 * (4.8 + 512 * 0.0136)])


def test_a_step_with_prompts_is_no_shorter_than_its_launches() -> None:
    player = Player(times=H100, launch_ms=20.0, pace=1.1)
    found = play(player, arrival_ms=np.array([0.0, 0.0]), lengths=np.array([300, 2000], np.int32))
    assert found.ttft_ms == pytest.approx([1.1 * (4.8 + 2300 * 0.0136)] * 2)
    alone = play(player, arrival_ms=np.array([0.0]), lengths=np.array([300], np.int32))
    assert alone.ttft_ms == pytest.approx([22.0])
    assert alone.tpot_ms == pytest.approx([1.1 * 4.831])


def test_prompts_are_read_in_one_step_of_so_many_and_at_once_where_nothing_decodes() -> None:
    """Three prompts come while the first one decodes: they wait for the third step after that of the first."""
    times = StepTimes(a_ms=10, c_us=0, p_us=0)
    at, sizes = np.array([0.0, 1.0, 11.0, 29.0]), np.full(4, 100, np.int32)
    found = play(Player(times=times, prefill_schedule_interval=3), arrival_ms=at, lengths=sizes)
    assert (at + found.ttft_ms).tolist() == [10, 40, 40, 40]


def test_steps_are_held_on_average_where_some_rest() -> None:
    """Pairs of steps of 58.6 ms: 21.2 ms decode 50 sequences, and what is left reads prompts."""
    times = StepTimes(a_ms=20.0, c_us=24.0, p_us=10.0)
    player = Player(times=times, held_ms=29.3, prefill_schedule_interval=2)
    assert player.prompt_budget(50) == int((58.6 - 2 * 21.2) * 100)


def test_a_host_that_launches_slowly_is_saved_by_longer_and_fewer_steps_with_prompts() -> None:
    """Launches of 36 ms, a TPOT of 30 allowed: at 50 q/s every step reads prompts, unless every second one rests."""
    at = arrivals(50.0, count=3000, seed=1)
    sizes = SIZES[np.random.default_rng(0).integers(0, len(SIZES), len(at))]
    player = Player(times=H100, held_ms=29.3, launch_ms=36.0)
    usual, rested = (
        play(replace(player, prefill_schedule_interval=every), arrival_ms=at, lengths=sizes) for every in (1, 2)
    )
    assert np.mean(usual.tpot_ms > 30) > 0.9
    assert not (rested.tpot_ms > 30).any()
    assert np.quantile(rested.ttft_ms, 0.99) < 500


def test_prompts_that_are_late_go_last_and_one_that_is_begun_goes_on() -> None:
    """Steps of 100 tokens. While the first prompt is read the second becomes late, and the third passes it."""
    sizes = np.array([800, 100, 100], np.int32)
    at = np.array([0.0, 1.0, 40.0])
    player = Player(times=StepTimes(a_ms=10, c_us=0, p_us=0), max_num_batched_tokens=100, output_tokens=1)
    usual, late = (play(p, arrival_ms=at, lengths=sizes) for p in (player, replace(player, late_after_ms=60.0)))
    assert (at + usual.ttft_ms).tolist() == [80, 90, 100]
    assert (at + late.ttft_ms).tolist() == [80, 100, 90]


def test_late_prompts_last_keeps_a_burst_from_those_that_come_after_it() -> None:
    at = np.sort(np.concatenate([np.zeros(400), arrivals(50.0, count=1500, seed=1)]))
    sizes = SIZES[np.random.default_rng(0).integers(0, len(SIZES), len(at))]
    usual, late = (play(Player(times=H100, late_after_ms=ms), arrival_ms=at, lengths=sizes) for ms in (None, 1900.0))
    over = [int((p.ttft_ms > 2000).sum()) for p in (usual, late)]
    assert over[1] < 0.6 * over[0]
    assert late.seconds == pytest.approx(usual.seconds, rel=0.01)


def test_long_steps_take_more_where_that_is_known() -> None:
    times = StepTimes(a_ms=4.8, c_us=31, p_us=13.6, bend_ms=0.3)
    found = play(Player(times=times), arrival_ms=np.array([0.0]), lengths=np.array([2000], np.int32))
    assert found.ttft_ms == pytest.approx([4.8 + 27.2 + 1.2])
