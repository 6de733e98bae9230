"""Steps held to a length, in virtual time: an engine of three numbers that also waits for its launches.

On an H100 whose host was slow, every step with prompts took 24 to 28 ms, and 33 to 40 ms for ten seconds, however few
prompt tokens it had: what such steps took must not be read as "prompts are dear".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import pytest

from sut.steps import BLOCK, Regression, StepTimes

H100 = StepTimes(a_ms=4.7, c_us=38.9, p_us=12.3)
HELD_MS, NEAR, FEWEST, ANSWER = 29.5, 0.8, 256, 128


class Engine:
    """``launch_ms``: what a step with prompts takes at least, by the time in s. ``waited_s``: of each query."""

    def __init__(self, *, times: StepTimes, launch_ms: Callable[[float], float], known: StepTimes | None) -> None:
        self.times, self.launch_ms = times, launch_ms
        self.regression = Regression(known, near_ms=NEAR * HELD_MS)
        self.waited_s: list[float] = []
        self.per_token_ms: list[float] = []

    def budget(self, decoding: int) -> int:
        known = self.regression.times
        if known is None:
            return 8192
        room = known.prompt_tokens(within_ms=HELD_MS / self.regression.drift, decoding=decoding)
        return max(int(room), FEWEST)

    def serve(self, rate: float, *, seconds: float) -> None:
        rng = np.random.default_rng(1)
        due = np.cumsum(rng.exponential(1 / rate, int(rate * seconds))).tolist()
        waiting: deque[list[float]] = deque()  # arrival, prompt tokens left
        decoding: deque[tuple[int, float]] = deque()  # last step, start
        now, step, at = 0.0, 0, 0
        while at < len(due) or waiting or decoding:
            while at < len(due) and due[at] <= now:
                waiting.append([due[at], float(rng.gamma(4, 195))])
                at += 1
            if not waiting and not decoding:
                now = due[at]
                continue
            budget, read, begun = self.budget(len(decoding)), 0.0, 0
            while waiting and budget - read >= 1:
                take = min(budget - read, waiting[0][1])
                read, waiting[0][1] = read + take, waiting[0][1] - take
                if waiting[0][1] > 0:
                    break
                self.waited_s.append(now - waiting.popleft()[0])
                begun += 1
            ms = self.times.step_ms(decoding=len(decoding), prompt_tokens=read)
            ms = max(ms, self.launch_ms(now)) if read else ms
            self.regression.add(ms, decoding=len(decoding), prompt_tokens=int(read))
            now, step = now + ms / 1e3, step + 1
            while decoding and decoding[0][0] <= step:
                self.per_token_ms.append(1e3 * (now - decoding.popleft()[1]) / (ANSWER - 1))
            decoding.extend([(step + ANSWER - 1, now)] * begun)


@pytest.mark.parametrize("known", [None, H100], ids=["unknown", "known"])
@pytest.mark.parametrize("slower", [1.0, 1.05], ids=["as-known", "slower-than-known"])
def test_a_burst_waits_and_decoding_goes_on(known: StepTimes | None, slower: float) -> None:
    times = StepTimes(a_ms=4.7 * slower, c_us=38.9 * slower, p_us=12.3 * slower)
    engine = Engine(times=times, launch_ms=lambda _: 16.0, known=known)
    engine.serve(51, seconds=60)
    assert np.percentile(engine.per_token_ms[50:], 99.5) < 30.0
    assert np.percentile(engine.waited_s, 99) < 1.0


def test_a_host_that_launches_slowly_for_a_while_does_not_stop_the_reading() -> None:
    engine = Engine(times=H100, launch_ms=lambda now: 38.0 if 20 < now < 30 else 20.0, known=H100)
    engine.serve(46, seconds=60)
    assert np.percentile(engine.waited_s, 99) < 2.0  # 5 s where a launch is taken for dear prompts
    assert engine.regression.drift == pytest.approx(1.0, abs=0.1)


def test_a_step_that_is_far_from_the_length_changes_no_budget() -> None:
    regression = Regression(H100, near_ms=24)
    for _ in range(400):
        regression.add(24.0, decoding=100, prompt_tokens=400)  # 13.5 ms by what is known
    assert regression.times == H100
    assert regression.drift == pytest.approx(1.0)


def test_what_is_known_yields_to_what_is_seen() -> None:
    regression = Regression(H100)
    rng = np.random.default_rng(0)
    for _ in range(1000):
        decoding, prompt = int(rng.integers(50, 250)), int(rng.integers(0, 2500))
        for _ in range(BLOCK):
            regression.add(6.0 + 0.030 * decoding + 0.011 * prompt, decoding=decoding, prompt_tokens=prompt)
    assert regression.times is not None
    assert regression.times.a_ms == pytest.approx(6.0, rel=0.05)
    assert regression.times.p_us == pytest.approx(11.0, rel=0.02)
    assert regression.drift == pytest.approx(1.0, abs=0.02)
