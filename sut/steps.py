"""What a step of a continuous-batching engine takes: ``a + c * decoding sequences + p * prompt tokens``.

Three numbers say what holds a card back: ``a`` is paid by every step (weights read, launches), ``c`` by every sequence
that decodes (its KV cache read), ``p`` by every token of a prompt (matrix products). They are found by regression over
the steps of a run, and from them the engine can hold its steps to a length and the tuner can play long runs. On a slow
host a step that reads prompts takes as long as its launches, however few it reads: that length is found with them.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

FEWEST = 20  # blocks that a fit is made of
BLOCK = 8  # steps
# A block that takes so many times what is expected of it waited for something else (a paused process, say).
OUTLIER = 4.0
# Noise grows with a step: one with so many prompt tokens counts a quarter.
SPREAD_TOKENS = 1000.0
# Upper ends, in prompt tokens, of the classes of steps that may wait for their launches: each may take longer than the
# three numbers say, and then it tells nothing of them.
SHORT = (512, 1024, 2048)
# Of the design: 1, decoding sequences and tokens of all steps, of each short class, and the square of all tokens.
COLUMNS = 3 + 3 * len(SHORT) + 1
BEND = COLUMNS - 1
FEWEST_SHORT = 80  # steps of a class
SHOWS, SHOWS_SHARE = 4.0, 0.04  # standard errors, and the share of a step's time, from which on it takes longer
BENDS, BENDS_SHARE = 5.0, 0.01  # the same of the square, and its share of what prompts take


class StepTimes(msgspec.Struct, frozen=True, kw_only=True):
    """``a_ms``, ``c_us`` and ``p_us`` with their standard errors; ``rms_ms``: what a typical step lies off the fit.
    ``launch_ms``: what a step that reads prompts takes at least, its launches; ``bend_ms``: what it takes more for the
    square of its thousands of tokens (attention). Both are 0 where the steps do not show them.

    An error is that of the regression alone: steps that differ from the form lean on all three.
    """

    a_ms: float
    c_us: float
    p_us: float
    a_error: float = 0.0
    c_error: float = 0.0
    p_error: float = 0.0
    rms_ms: float = 0.0
    steps: int = 0
    launch_ms: float = 0.0
    bend_ms: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether the numbers can be those of an engine; steps that are nearly alike may give any."""
        return self.a_ms > 0 and self.c_us >= 0 and self.p_us > 2 * self.p_error

    def step_ms(self, *, decoding: float, prompt_tokens: float) -> float:
        straight = self.a_ms + (self.c_us * decoding + self.p_us * prompt_tokens) / 1e3
        return straight + self.bend_ms * (prompt_tokens / 1e3) ** 2 if self.bend_ms else straight

    def prompt_tokens(self, *, within_ms: float, decoding: int) -> float:
        """Prompt tokens that a step of ``within_ms`` has room for beside ``decoding`` sequences, by the three numbers;
        negative if none."""
        return (within_ms - self.a_ms - self.c_us * decoding / 1e3) * 1e3 / max(self.p_us, 1e-3)

    def samples_per_second(self, *, sequences: int, prompt_tokens: float, output_tokens: int) -> float:
        """Offline: ``sequences`` at a time, prompts of so many tokens on average."""
        steps = max(output_tokens - 1, 1)
        share = self.a_ms * output_tokens / sequences
        return 1e3 / (share + (self.c_us * steps + self.p_us * prompt_tokens) / 1e3)


def short_class(prompt_tokens: int) -> int | None:
    """Which of :data:`SHORT` a step that reads so many belongs to; ``None``: it decodes only, or is longer."""
    if not 0 < prompt_tokens <= SHORT[-1]:
        return None
    return bisect_left(SHORT, prompt_tokens)


class Block:
    """Steps in a row, added up. ``design``, [COLUMNS]: steps, decoding sequences and tokens of all of them, of those in
    each class of :data:`SHORT`, and the squares of their tokens, in thousands."""

    def __init__(self) -> None:
        self.ms = 0.0
        self.design = np.zeros(COLUMNS)

    @property
    def steps(self) -> int:
        return int(self.design[0])

    def add(self, ms: float, *, decoding: int, prompt_tokens: int, padding: int = 0) -> None:
        """A step; one of ``padding`` tokens more computes them like those of a prompt."""
        self.ms += ms
        row = (1, decoding, prompt_tokens + padding)
        self.design[:3] += row
        self.design[BEND] += (row[2] / 1e3) ** 2
        if (number := short_class(prompt_tokens)) is not None:
            self.design[own(number)] += row


def own(number: int) -> slice:
    """The columns of a short class."""
    return slice(3 + 3 * number, 6 + 3 * number)


class StepSums:
    """The sums that a weighted regression over blocks of steps needs: they add up over workers and pauses.

    ``values``: blocks, the square of the time; :attr:`Block.design` as it is; and, weighted, the time with each of its
    columns, and their products with each other. ``ignored``: steps in blocks that took far longer than the others like
    them.
    """

    UPPER = np.triu_indices(COLUMNS)
    PARTS = (2, COLUMNS, COLUMNS, len(UPPER[0]))
    SIZE = sum(PARTS)

    def __init__(self, values: Iterable[float] = (), *, ignored: int = 0) -> None:
        found = np.array([float(value) for value in values])
        self.values = found if len(found) == self.SIZE else np.zeros(self.SIZE)  # an older release had others
        self.ignored = ignored

    @property
    def steps(self) -> int:
        return int(self._parts[1][0])

    @property
    def blocks(self) -> int:
        return int(self.values[0])

    @property
    def _parts(self) -> list[npt.NDArray[np.float64]]:
        return np.split(self.values, np.cumsum(self.PARTS)[:-1])

    def add(self, ms: float, *, decoding: float, prompt_tokens: float) -> None:
        """Add a step, or steps by their means that are one to the regression, none of them short."""
        block = Block()
        block.ms, block.design[:3] = ms, (1, decoding, prompt_tokens)
        block.design[BEND] = (prompt_tokens / 1e3) ** 2
        self.add_block(block)

    def add_block(self, block: Block) -> None:
        x, y = block.design / block.steps, block.ms / block.steps
        w = 1.0 / (1.0 + x[2] / SPREAD_TOKENS) ** 2
        upper = w * np.outer(x, x)[self.UPPER]
        self.values += np.concatenate([(1.0, w * y * y), block.design, w * y * x, upper])

    def __add__(self, other: StepSums) -> StepSums:
        return StepSums(self.values + other.values, ignored=self.ignored + other.ignored)

    def __sub__(self, other: StepSums) -> StepSums:
        return StepSums(self.values - other.values, ignored=self.ignored - other.ignored)

    def fit(self, *, straight: bool = False) -> StepTimes | None:
        """``None`` where the blocks are too few, or too alike to tell the three apart (one query at a time, say).

        ``straight``: the three numbers alone, whatever the steps show.
        """
        plain = self._solve(())
        if plain is None or straight:
            return plain.times(self.steps) if plain else None
        slow = self._slow()
        found = self._solve(slow, bend=True)
        if found is None or not self._bends(found):
            found = (self._solve(slow) if slow else None) or plain
        if not found.times(0).sound:
            return plain.times(self.steps)
        return found.times(self.steps, launch_ms=self._launch_ms(found, slow) if slow and found.classes else 0.0)

    def _slow(self) -> list[int]:
        """The short classes whose steps take longer than by the three numbers, and those of shorter steps."""
        steps = self._parts[1]
        classes = [number for number in range(len(SHORT)) if steps[own(number)][0] >= FEWEST_SHORT]
        found = self._solve(classes) if classes else None
        shown = [number for number in classes if self._shows(found, number)] if found else []
        return classes[: classes.index(shown[-1]) + 1] if shown else []

    def _bends(self, found: _Solved) -> bool:
        """Whether long steps take more a token than short ones, for sure and by enough to matter. The other way round
        they would be a card that was still cold when it was full."""
        more, error = found.bend
        _, _, tokens = self._parts[1][:3]
        share = more * self._parts[1][BEND] / max(float(found.values[2]) * tokens, 1e-9)
        return more > BENDS * error and share > BENDS_SHARE

    def _means(self, number: int) -> npt.NDArray[np.float64]:
        """Of a short class: 1, decoding sequences, tokens."""
        sums = self._parts[1][own(number)]
        return np.asarray(sums / sums[0])

    def _shows(self, found: _Solved, number: int) -> bool:
        """Whether the steps of a short class take longer for sure, and by enough to matter."""
        usual, (more, error) = found.usual(self._means(number)), found.more(number, self._means(number))
        return more > max(SHOWS * error, SHOWS_SHARE * usual)

    def _launch_ms(self, found: _Solved, slow: list[int]) -> float:
        """The length of the steps that are no longer for what they read: of the shortest, and of classes that would all
        be shorter than those."""
        lengths: list[float] = []
        weights: list[float] = []
        for number in slow:
            mean = self._means(number)
            more, error = found.more(number, mean)
            longest = found.usual(np.array([1, mean[1], SHORT[number]]))
            if not lengths or longest < lengths[0]:
                lengths.append(found.usual(mean) + more)
                weights.append(1 / max(error, 1e-6) ** 2)
        return float(np.average(lengths, weights=weights))

    def _solve(self, classes: Sequence[int], *, bend: bool = False) -> _Solved | None:
        """The regression; steps of ``classes`` may take what they like."""
        columns = [0, 1, 2, *(column for number in classes for column in range(COLUMNS)[own(number)])]
        columns += [BEND] if bend else []
        (n, wyy), _, products, upper = self._parts
        if n < FEWEST:
            return None
        normal = np.zeros((COLUMNS, COLUMNS))
        normal[self.UPPER] = upper
        normal = (normal + np.triu(normal, 1).T)[np.ix_(columns, columns)]
        target = products[columns]
        scale = np.sqrt(np.maximum(np.diag(normal), 0.0))
        if not (scale > 0).all():
            return None
        scaled = normal / np.outer(scale, scale)
        if np.linalg.cond(scaled) > 1e8:
            return None
        inverse = np.linalg.inv(scaled)
        found = inverse @ (target / scale) / scale
        left = max(float(wyy) - float(found @ target), 0.0)
        covariance = inverse / np.outer(scale, scale) * left / max(float(n) - len(columns), 1)
        rms_ms = math.sqrt(left / float(normal[0, 0]))
        return _Solved(classes=list(classes), bent=bend, values=found, covariance=covariance, rms_ms=rms_ms)


@dataclass(frozen=True, kw_only=True)
class _Solved:
    """A regression, ms: of all steps, and how those of ``classes`` differ. ``bent``: the square is its last number."""

    classes: list[int]
    bent: bool
    values: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]
    rms_ms: float

    def usual(self, row: npt.NDArray[np.float64]) -> float:
        """What such a step takes by the numbers of all."""
        return float(self.values[:3] @ row) + self.bend[0] * float(row[2] / 1e3) ** 2

    @property
    def bend(self) -> tuple[float, float]:
        """Of the square, with its standard error."""
        return (float(self.values[-1]), math.sqrt(float(self.covariance[-1, -1]))) if self.bent else (0.0, 0.0)

    def more(self, number: int, row: npt.NDArray[np.float64]) -> tuple[float, float]:
        """What one of a short class takes beyond that, and its standard error."""
        part = own(self.classes.index(number))
        return float(self.values[part] @ row), math.sqrt(max(float(row @ self.covariance[part, part] @ row), 0.0))

    def times(self, steps: int, *, launch_ms: float = 0.0) -> StepTimes:
        (a, c, p), errors = self.values[:3].tolist(), np.sqrt(np.diag(self.covariance)[:3]).tolist()
        return StepTimes(
            a_ms=a,
            c_us=1e3 * c,
            p_us=1e3 * p,
            a_error=errors[0],
            c_error=1e3 * errors[1],
            p_error=1e3 * errors[2],
            rms_ms=self.rms_ms,
            steps=steps,
            launch_ms=launch_ms,
            bend_ms=self.bend[0],
        )


class Regression:
    """Steps as they come, in blocks: what lies far off is left out, and the fit is made anew now and then.

    ``sums`` hold every step of the run; ``times`` is the fit of the latest, since an engine that fills up and a card
    that warms do not stay what they were. ``drift``: how much longer the latest steps take than ``times`` says.
    ``known``: what an earlier run measured, which holds until this one's own steps outweigh it. ``near_ms``: once there
    is a fit, no block changes it with a step that reads prompts and by the fit is shorter than this. Such a step may
    wait for its launches and take as long as one with many; to shorten steps on its word would shorten none.
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
        self._block = Block()
        self._tells = True  # no step of the block is too short to say what prompts take
        if known is not None:
            for number in range(self.KNOWN_BLOCKS):
                decoding, prompt = self.TYPICAL[number % len(self.TYPICAL)]
                ms = known.step_ms(decoding=decoding, prompt_tokens=prompt)
                self._latest.add(ms, decoding=decoding, prompt_tokens=prompt)

    def add(self, ms: float, *, decoding: int, prompt_tokens: int, padding: int = 0) -> None:
        """A step; ``padding``: tokens that it computed for nothing, to fill its CUDA graph."""
        self._block.add(ms, decoding=decoding, prompt_tokens=prompt_tokens, padding=padding)
        if self.near_ms and prompt_tokens and self.times is not None:
            expected = self.times.step_ms(decoding=decoding, prompt_tokens=prompt_tokens + padding)
            self._tells = self._tells and expected >= self.near_ms
        if self._block.steps == BLOCK:
            block, self._block = self._block, Block()
            tells, self._tells = self._tells, True
            self._add_block(block, tells=tells)

    def _add_block(self, block: Block, *, tells: bool) -> None:
        _, decoding, prompt_tokens = (block.design[:3] / BLOCK).tolist()
        ms, expected = block.ms / BLOCK, None
        if self.times is not None:
            expected = max(self.times.step_ms(decoding=decoding, prompt_tokens=prompt_tokens), 1e-3)
            if ms > OUTLIER * expected:
                self.sums.ignored += BLOCK
                return
        self.sums.add_block(block)
        if expected is not None:
            if not tells:
                self.drift += (1.0 - self.drift) / self.FORGETTING
                return
            self.drift += (min(max(ms / expected, self.DRIFT[0]), self.DRIFT[1]) - self.drift) / self.MEMORY
        self._latest.values *= self.KEPT
        self._latest.add_block(block)
        self._seen += 1
        # a step that waits for its launches is not among them: see near_ms
        found = self._latest.fit(straight=True) if self._seen % self.EVERY == 0 else None
        if found is not None and found.sound:
            if expected is not None:  # what the new numbers explain is drift no more
                self.drift *= expected / found.step_ms(decoding=decoding, prompt_tokens=prompt_tokens)
            self.times = found
