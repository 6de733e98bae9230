"""Steps held to a length and late prompts last, in virtual time: whatever comes, all are read and all decode."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from harness.tune.playback import Engine, Player
from sut.engines.vllm_planning import FEWEST_PROMPT_TOKENS, held_budget
from sut.steps import BLOCK, Regression, StepTimes

TIMES = st.builds(StepTimes, a_ms=st.floats(0.1, 50), c_us=st.floats(0, 500), p_us=st.floats(0.01, 200))
GRAPHS = st.lists(st.integers(1, 8192), max_size=12, unique=True).map(lambda sizes: tuple(sorted(sizes)))
RARELY = settings(max_examples=60, deadline=None)


@st.composite
def bursts(draw: st.DrawFn) -> tuple[list[float], list[int]]:
    """Arrivals, ms, in bursts and pauses, and prompt tokens; some prompts are longer than a step."""
    due, sizes, now = [], [], 0.0
    for _ in range(draw(st.integers(1, 6))):
        now += draw(st.floats(0, 3000))
        for _ in range(draw(st.integers(1, 25))):
            due.append(now)
            sizes.append(draw(st.integers(1, 2540)))
    return due, sizes


PLAYERS = st.builds(
    Player,
    times=TIMES,
    max_num_seqs=st.integers(1, 64),
    max_num_batched_tokens=st.integers(320, 4096),
    output_tokens=st.just(20),
    held_ms=st.one_of(st.none(), st.floats(0.01, 200)),
    late_after_ms=st.one_of(st.none(), st.floats(0, 2000)),
    graphs=GRAPHS,
    launch_ms=st.floats(0, 40),
    prefill_schedule_interval=st.integers(1, 4),
    pace=st.floats(0.5, 2),
)


@given(times=TIMES, within_ms=st.floats(0.001, 500), decoding=st.integers(0, 1024), graphs=GRAPHS)
def test_a_budget_has_room_for_all_that_decode_and_for_some_prompts(
    times: StepTimes, within_ms: float, decoding: int, graphs: tuple[int, ...]
) -> None:
    largest = 1024 + FEWEST_PROMPT_TOKENS
    tokens = held_budget(times, within_ms=within_ms, decoding=decoding, largest=largest, graphs=graphs)
    assert decoding + FEWEST_PROMPT_TOKENS // 2 <= tokens <= largest


def test_far_apart_graphs_leave_nobody_waiting() -> None:
    """The next graph below 756 tokens is one of 256: half of 500 sequences would not decode, and nothing be read."""
    times = StepTimes(a_ms=5, c_us=36, p_us=12)
    assert held_budget(times, within_ms=1, decoding=500, largest=8192, graphs=(1, 8, 256, 800)) == 756
    assert held_budget(times, within_ms=30, decoding=500, largest=8192, graphs=(1, 8, 256, 800, 1600)) == 800


@RARELY
@given(player=PLAYERS, load=bursts())
def test_every_prompt_is_read_in_its_turn_and_every_sequence_decodes_in_each_step(
    player: Player, load: tuple[list[float], list[int]]
) -> None:
    due, sizes = load
    count, left = len(due), list(sizes)
    first, done = np.full(count, -1.0), np.full(count, -1.0)
    engine = Engine(player, due=due, lengths=left, outputs=[20] * count, first=first, done=done)
    begun: dict[int, int] = {}
    arrived = steps = finished = rests = 0
    while finished < count:
        while arrived < count and due[arrived] <= engine.now:
            engine.waiting.append(arrived)
            arrived += 1
        if not engine.busy:
            engine.now = due[arrived]
            continue
        before, could_read = engine.now, bool(engine.waiting or engine.late) and engine.decoding < player.max_num_seqs
        whole, ended = engine.step()
        steps, finished = steps + 1, finished + len(ended)
        assert engine.now > before
        rests = rests + 1 if could_read and not engine.read else 0
        assert rests < player.prefill_schedule_interval
        begun.update((query, steps) for query in whole)
        assert all(steps - begun[query] == 19 for query in ended)  # a token in each step, none left out
    assert left == [0] * count
    assert (first >= np.array(due)).all()
    assert (done > first).all()


@RARELY
@given(load=bursts(), late_after_ms=st.floats(0, 500))
def test_who_is_not_late_goes_first_and_the_late_keep_their_order(
    load: tuple[list[float], list[int]], late_after_ms: float
) -> None:
    due, sizes = load
    player = Player(times=StepTimes(a_ms=10, c_us=0, p_us=50), late_after_ms=late_after_ms, output_tokens=1)
    first, done = np.zeros(len(due)), np.zeros(len(due))
    engine = Engine(player, due=due, lengths=list(sizes), outputs=[1] * len(due), first=first, done=done)
    arrived = 0
    while arrived < len(due) or engine.busy:
        if not engine.busy:
            engine.now = max(engine.now, due[arrived])
        while arrived < len(due) and due[arrived] <= engine.now:
            engine.waiting.append(arrived)
            arrived += 1
        at, begun = engine.now, engine._begun
        whole, _ = engine.step()
        read = [query for query in whole if query != begun]
        late = [due[query] < at - late_after_ms for query in read]
        assert late == sorted(late)
        for group in (False, True):
            assert all(a < b for a, b in pairwise(q for q, one in zip(read, late, strict=True) if one is group))


@settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(
    slower=st.floats(0.8, 1.3),
    later=st.floats(0.9, 1.15),
    launch_ms=st.floats(0, 20),
    seed=st.integers(0, 2**16),
)
def test_numbers_that_drift_are_followed(slower: float, later: float, launch_ms: float, seed: int) -> None:
    """A card unlike the one that ``step_times`` were measured on, whose speed changes while it works, under a host that
    takes its time. Half the steps only decode, as in Interactive. Held steps come out as long as they are to be."""
    known, held_ms = StepTimes(a_ms=4.7, c_us=38.9, p_us=12.3), 29.5
    regression, random, factor = Regression(known, near_ms=0.8 * held_ms), np.random.default_rng(seed), slower
    lengths: list[float] = []
    for number in range(5000):
        if number == 2500:
            factor *= later
            lengths.clear()
        decoding = int(random.integers(100, 220))
        waiting = int(random.integers(0, 4000)) if number % BLOCK % 2 else 0
        times = regression.times
        assert times is not None
        within_ms = held_ms / regression.drift
        budget = held_budget(times, within_ms=within_ms, decoding=decoding, largest=8192, graphs=()) - decoding
        read = min(waiting, budget)
        ms = factor * known.step_ms(decoding=decoding, prompt_tokens=read)
        ms = max(ms, launch_ms) if read else ms
        regression.add(ms * float(np.exp(random.normal(0, 0.03))), decoding=decoding, prompt_tokens=read)
        if read == budget > FEWEST_PROMPT_TOKENS:
            lengths.append(ms)
    assert 0.9 * held_ms < np.mean(lengths[-200:]) < 1.1 * held_ms
