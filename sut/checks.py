"""What an answer may look like, examined for many answers at once: as arrays, a sample costs a fraction of what it does
one by one.

TEST06's properties (mlcommons/inference compliance/TEST06) on every completion, not on a hundred; and that an answer
ends for a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

UNUSABLE = ("empty", "out_of_vocabulary")
"""With these there is no answer: the sample is tried again. The others are noted, and LoadGen gets the answer."""
CLEAN = ""
UNSIGNED = np.dtype("<u4")
Flags = npt.NDArray[np.bool_]


def examine(
    answers: Sequence[bytes], *, vocab_size: int | None, max_new_tokens: int, eos_token_ids: Iterable[int]
) -> list[str] | None:
    """What is wrong with each of ``answers`` (int32 LE ids), :data:`CLEAN` where nothing is; None: with none of them.

    ``vocab_size`` None and no ``eos_token_ids``: not known, not examined.
    """
    sizes = np.fromiter(map(len, answers), np.int64, len(answers))
    if ((sizes < 4) | (sizes & 3)).any():
        return [_one(answer, vocab_size, max_new_tokens, eos_token_ids) for answer in answers]
    tokens: npt.NDArray[Any] = np.frombuffer(b"".join(answers), UNSIGNED)
    counts = sizes >> 2
    ends = counts.cumsum()
    found: list[tuple[str, Flags]] = []
    # read without a sign, a negative id is beyond any vocabulary
    if vocab_size is not None and tokens.max() >= vocab_size:
        found.append(("out_of_vocabulary", np.maximum.reduceat(tokens, ends - counts) >= vocab_size))
    short, long = counts < 2, counts > max_new_tokens
    found += [("too_short", short), ("too_long", long)]
    if eos := tuple(eos_token_ids):
        ended = _among(tokens[ends - 1], eos)
        found.append(("cut_short", ~ended & (counts < max_new_tokens)))
        found.append(("extra_eos", ended & _among(tokens[ends - 2], eos)))  # of a short answer it is another's token
    if not any(flags.any() for _, flags in found):
        return None
    problems = [CLEAN] * len(answers)
    for problem, flags in reversed(found):  # the first one counts
        for at in np.flatnonzero(flags).tolist():
            problems[at] = problem
    return problems


def _among(tokens: npt.NDArray[Any], ids: Sequence[int]) -> Flags:
    return reduce(np.logical_or, [tokens == number for number in ids])


def _one(answer: bytes, vocab_size: int | None, max_new_tokens: int, eos_token_ids: Iterable[int]) -> str:
    if not answer or len(answer) % 4:
        return "empty"
    problems = examine([answer], vocab_size=vocab_size, max_new_tokens=max_new_tokens, eos_token_ids=eos_token_ids)
    return problems[0] if problems else CLEAN
