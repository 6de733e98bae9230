"""What a step of a continuous-batching engine takes: ``a + c * decoding sequences + p * prompt tokens``.

Three numbers say what holds a card back: ``a`` is paid by every step (weights read, launches), ``c`` by every sequence
that decodes (its KV cache read), ``p`` by every token of a prompt (matrix products). They are found by regression over
the steps of a run, and from them the engine can hold its steps to a length and the tuner can play long runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec
import numpy as np

FEWEST = 20  # blocks that a fit is made of
BLOCK = 8  # steps
# A block that takes so many times what is expected of it waited for something else (a paused process, say).
OUTLIER = 4.0
# Noise grows with a step: one with so many prompt tokens counts a quarter.
SPREAD_TOKENS = 1000.0
SUMS = 12  # steps, blocks, six of the design's products, three with the time, the time's own


class StepTimes(msgspec.Struct, frozen=True, kw_only=True):
    """``a_ms``, ``c_us`` and ``p_us`` with their standard errors; ``rms_ms``: what a typical step lies off the fit.

    An error is that of the regression alone: steps that differ from the form (attention over long prompts, padding to
    the size of a CUDA graph) lean on all three.
    """

    a_ms: float
    c_us: float
    p_us: float
    a_error: float = 0.0
    c_error: float = 0.0
    p_error: float = 0.0
    rms_ms: float = 0.0
    steps: int = 0

    @property
    def sound(self) -> bool:
        """Whether the numbers can be those of an engine; steps that are nearly alike may give any."""
        return self.a_ms > 0 and self.c_us >= 0 and self.p_us > 2 * self.p_error

    def step_ms(self, *, decoding: float, prompt_tokens: float) -> float:
        return self.a_ms + (self.c_us * decoding + self.p_us * prompt_tokens) / 1e3

    def prompt_tokens(self, *, within_ms: float, decoding: int) -> float:
        """Prompt tokens that a step of ``within_ms`` has room for beside ``decoding`` sequences; negative if none."""
        return (within_ms - self.a_ms - self.c_us * decoding / 1e3) * 1e3 / max(self.p_us, 1e-3)

    def samples_per_second(self, *, sequences: int, prompt_tokens: float, output_tokens: int) -> float:
        """Offline: ``sequences`` at a time, prompts of so many tokens on average."""
        steps = max(output_tokens - 1, 1)
        share = self.a_ms * output_tokens / sequences
        return 1e3 / (share + (self.c_us * steps + self.p_us * prompt_tokens) / 1e3)


class StepSums:
    """The sums that a weighted regression needs: they add up over steps, workers and pauses.

    ``ignored``: steps in blocks that took far longer than the others like them.
    """

    def __init__(self, values: Iterable[float] = (), *, ignored: int = 0) -> None:
        found = [float(value) for value in values]
        self.values = np.array(found or [0.0] * SUMS)
        self.ignored = ignored

    @property
    def steps(self) -> int:
        return int(self.values[0])

    @property
    def blocks(self) -> int:
        return int(self.values[1])

    def add(self, ms: float, *, decoding: float, prompt_tokens: float, steps: int = 1) -> None:
        """Add a block of ``steps`` in a row by their means."""
        w = 1.0 / (1.0 + prompt_tokens / SPREAD_TOKENS) ** 2
        d, t, y = float(decoding), float(prompt_tokens), float(ms)
        design = (w, w * d, w * t, w * d * d, w * d * t, w * t * t)
        self.values += (steps, 1.0, *design, w * y, w * d * y, w * t * y, w * y * y)

    def __add__(self, other: StepSums) -> StepSums:
        return StepSums(self.values + other.values, ignored=self.ignored + other.ignored)

    def __sub__(self, other: StepSums) -> StepSums:
        return StepSums(self.values - other.values, ignored=self.ignored - other.ignored)

    def fit(self) -> StepTimes | None:
        """``None`` where the blocks are too few, or too alike to tell the three apart (one query at a time, say)."""
        _, n, w, wd, wt, wdd, wdt, wtt, wy, wdy, wty, wyy = (float(value) for value in self.values)
        if n < FEWEST:
            return None
        normal = np.array([[w, wd, wt], [wd, wdd, wdt], [wt, wdt, wtt]])
        scale = np.sqrt(np.diag(normal))
        if not (scale > 0).all():
            return None
        normal /= np.outer(scale, scale)
        if np.linalg.cond(normal) > 1e8:
            return None
        inverse = np.linalg.inv(normal)
        found = inverse @ (np.array([wy, wdy, wty]) / scale) / scale
        left = max(wyy - float(found @ np.array([wy, wdy, wty])), 0.0)
        variance = left / max(n - 3, 1)
        errors = np.sqrt(np.diag(inverse) * variance) / scale
        a, c, p = (float(value) for value in found)
        a_error, c_error, p_error = (float(value) for value in errors)
        return StepTimes(
            a_ms=a,
            c_us=1e3 * c,
            p_us=1e3 * p,
            a_error=a_error,
            c_error=1e3 * c_error,
            p_error=1e3 * p_error,
            rms_ms=math.sqrt(left / w),
            steps=self.steps,
        )


class Regression:
    """Steps as they come, in blocks: what lies far off is left out, and the fit is made anew now and then.

    ``sums`` hold every step of the run; ``times`` is the fit of the latest, since an engine that fills up and a card
    that warms do not stay what they were. ``drift``: how much longer the latest steps take than ``times`` says.
    ``known``: what an earlier run measured, which holds until this one's own steps outweigh it. ``near_ms``: once there
    is a fit, only blocks that it puts at no less change it. A step with few prompt tokens may wait for its launches
    and take as long as one with many; to shorten steps on its word would shorten none.
    """

    EVERY = 8  # blocks between two fits
    MEMORY = 8  # blocks
    FORGETTING = 32  # blocks that say nothing of the drift, until most of it is forgotten
    DRIFT = (0.8, 1.2)  # a card's clock moves by less
    KEPT = 0.998  # of a block's weight, from one block to the next: half of it is gone after 350 blocks
    KNOWN_BLOCKS = 50
    # decoding sequences and prompt tokens of the steps that stand for what is known
    TYPICAL = ((20, 0), (200, 0), (100, 1000), (300, 1000), (200, 3000))

    def __init__(self, known: StepTimes | None = None, *, near_ms: float = 0.0) -> None:
        self.near_ms = near_ms
        self.sums = StepSums()
        self.times: StepTimes | None = known
        self.drift = 1.0
        self._latest = StepSums()
        self._seen = 0
        self._block = np.zeros(4)  # steps, ms, decoding, prompt tokens
        if known is not None:
            for number in range(self.KNOWN_BLOCKS):
                decoding, prompt = self.TYPICAL[number % len(self.TYPICAL)]
                ms = known.step_ms(decoding=decoding, prompt_tokens=prompt)
                self._latest.add(ms, decoding=decoding, prompt_tokens=prompt)

    def add(self, ms: float, *, decoding: int, prompt_tokens: int) -> None:
        self._block += (1, ms, decoding, prompt_tokens)
        if self._block[0] == BLOCK:
            mean = self._block / BLOCK
            self._block[:] = 0
            self._add_block(float(mean[1]), decoding=float(mean[2]), prompt_tokens=float(mean[3]))

    def _add_block(self, ms: float, *, decoding: float, prompt_tokens: float) -> None:
        expected = None
        if self.times is not None:
            expected = max(self.times.step_ms(decoding=decoding, prompt_tokens=prompt_tokens), 1e-3)
            if ms > OUTLIER * expected:
                self.sums.ignored += BLOCK
                return
        self.sums.add(ms, decoding=decoding, prompt_tokens=prompt_tokens, steps=BLOCK)
        if expected is not None:
            if expected < self.near_ms:
                self.drift += (1.0 - self.drift) / self.FORGETTING
                return
            self.drift += (min(max(ms / expected, self.DRIFT[0]), self.DRIFT[1]) - self.drift) / self.MEMORY
        self._latest.values *= self.KEPT
        self._latest.add(ms, decoding=decoding, prompt_tokens=prompt_tokens, steps=BLOCK)
        self._seen += 1
        found = self._latest.fit() if self._seen % self.EVERY == 0 else None
        if found is not None and found.sound:
            if expected is not None:  # what the new numbers explain is drift no more
                self.drift *= expected / found.step_ms(decoding=decoding, prompt_tokens=prompt_tokens)
            self.times = found
