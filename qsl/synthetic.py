"""Made-up data sets with CNN/DailyMail's lengths, for benchmarks and tests where the real articles are not at hand.

Token ids are random: what an engine's speed depends on is how many there are. The real prompts have 778 tokens on
average and 2,540 at most; the shape in between is an assumption (``gamma``). ``lognormal`` is narrower, for comparison
with other benchmarks that draw lengths so. Reference summaries are made-up words of the real mean length.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mlperf_llama_base.errors import UserError
from qsl.formats import open_writer
from qsl.rows import IntArray, Row

Shape = Literal["gamma", "lognormal"]
GAMMA_SHAPE, GAMMA_MEAN, GAMMA_RANGE = 4.0, 778.0, (68, 2540)
LOGNORMAL_MEDIAN, LOGNORMAL_SIGMA, LOGNORMAL_RANGE = 700.0, 0.45, (60, 2540)
LLAMA3_VOCAB, LLAMA3_ORDINARY = 128256, 128000
SUMMARY_CHARS = 611
"""Mean characters of a summary: the reference's gen_len of 8,167,644 over 13,368 samples."""


def lengths(count: int, *, seed: int, shape: Shape = "gamma") -> IntArray:
    """Return prompt lengths in tokens, int32 [count]: redrawn (gamma) or clipped (lognormal) into their range."""
    rng = np.random.default_rng(seed)
    if shape == "lognormal":
        drawn = rng.lognormal(np.log(LOGNORMAL_MEDIAN), LOGNORMAL_SIGMA, count)
        return np.clip(np.rint(drawn), *LOGNORMAL_RANGE).astype(np.int32)
    low, high = GAMMA_RANGE
    kept = np.empty(0)
    while len(kept) < count:
        drawn = np.rint(rng.gamma(GAMMA_SHAPE, GAMMA_MEAN / GAMMA_SHAPE, count))
        kept = np.concatenate([kept, drawn[(drawn >= low) & (drawn <= high)]])
    return kept[:count].astype(np.int32)


def ordinary_ids(vocab_size: int, avoid: Collection[int] = ()) -> IntArray:
    """Return the ids below ``vocab_size`` that are text: without ``avoid``, and without Llama 3's special ids.

    Raises ``UserError`` if none is left.
    """
    top = LLAMA3_ORDINARY if vocab_size == LLAMA3_VOCAB else vocab_size
    ids = np.setdiff1d(np.arange(max(top, 0), dtype=np.int32), np.fromiter(avoid, np.int32, len(avoid)))
    if not len(ids):
        raise UserError(f"a vocabulary of {vocab_size} has no ordinary token to make prompts of")
    return ids


def prompts(
    sizes: IntArray, *, seed: int, vocab_size: int, avoid: Collection[int] = (), bos_id: int | None = None
) -> list[IntArray]:
    """Return random prompts, one int32 [size] for each of ``sizes``; the first id is ``bos_id`` where given."""
    ordinary = ordinary_ids(vocab_size, avoid)
    flat = ordinary[np.random.default_rng(seed).integers(0, len(ordinary), int(sizes.sum()), dtype=np.int32)]
    starts = np.cumsum(sizes, dtype=np.int64) - sizes
    if bos_id is not None:
        flat[starts] = bos_id
    return np.split(flat, starts[1:])


def summaries(count: int, *, seed: int, mean_chars: int = SUMMARY_CHARS) -> list[str]:
    """Return texts of sentences of made-up words, on average ``mean_chars`` characters (normal, a fifth of it wide).

    One long stream of words is cut where the wanted lengths end; frequent words are frequent, as ROUGE expects of text.
    """
    rng = np.random.default_rng(seed)
    vocabulary = _words(rng)
    wanted = np.maximum(rng.normal(mean_chars, mean_chars / 5, count), 20.0)
    frequency = 1.0 / np.arange(3, len(vocabulary) + 3)
    stream = rng.choice(len(vocabulary), int(wanted.sum() / 5) + count + 1, p=frequency / frequency.sum())
    ends_sentence = rng.random(len(stream)) < 1 / 14
    widths = np.fromiter(map(len, vocabulary), np.int64, len(vocabulary))[stream] + 1 + ends_sentence
    cuts = np.searchsorted(np.cumsum(widths), np.cumsum(wanted))
    words = [vocabulary[i] for i in stream[: cuts[-1] + 1].tolist()]
    for place in np.flatnonzero(ends_sentence[: cuts[-1] + 1]).tolist():
        words[place] += "."
    texts = (" ".join(words[start:end]) for start, end in zip([0, *cuts[:-1]], cuts, strict=True))
    return [". ".join(s[:1].upper() + s[1:] for s in text.rstrip(".").split(". ")) + "." for text in texts]


def synthesize(
    output: Path,
    *,
    count: int,
    seed: int = 0,
    shape: Shape = "gamma",
    vocab_size: int = LLAMA3_VOCAB,
    avoid: Collection[int] = (),
    bos_id: int | None = None,
    summary_chars: int | None = None,
) -> npt.NDArray[np.int32]:
    """Write a made-up data set to ``output`` (``.json`` or ``.parquet``); return its lengths.

    ``summary_chars``: also make reference summaries, of this many characters on average. Articles are empty.
    """
    if count < 1:
        raise UserError(f"a data set needs at least 1 sample, not {count}")
    sizes = lengths(count, seed=seed, shape=shape)
    ids = prompts(sizes, seed=seed, vocab_size=vocab_size, avoid=avoid, bos_id=bos_id)
    texts = summaries(count, seed=seed, mean_chars=summary_chars) if summary_chars else [""] * count
    label = f"synthetic, {shape} lengths, seed {seed}"
    with open_writer(output, label=label, instruction={"synthetic": label}) as writer:
        for prompt, summary in zip(ids, texts, strict=True):
            writer.write(Row("", prompt, summary))
    return sizes


def _words(rng: np.random.Generator) -> list[str]:
    """2,000 different words of one to four syllables, about 5 letters on average where they are frequent."""
    syllables = [c + v for c in "bdfglmnprstvk" for v in "aeiou"]
    drawn: dict[str, None] = {}
    while len(drawn) < 2000:
        drawn["".join(rng.choice(syllables, rng.integers(1, 5)))] = None
    return list(drawn)
