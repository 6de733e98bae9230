"""What an answer may look like, examined for many answers at once: their ids as one array, the rest by their ends.

TEST06's properties (mlcommons/inference compliance/TEST06) on every completion, not on a hundred; and that an answer
ends for a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

UNUSABLE = ("empty", "out_of_vocabulary")
"""With these there is no answer: the sample is tried again. The others are noted, and LoadGen gets the answer."""
CLEAN = ""
UNSIGNED = np.dtype("<u4")


def examine(
    answers: Sequence[bytes], *, vocab_size: int | None, max_new_tokens: int, eos_token_ids: Iterable[int]
) -> list[str] | None:
    """What is wrong with each of ``answers`` (int32 LE ids), :data:`CLEAN` where nothing is; None: with none of them.

    ``vocab_size`` None and no ``eos_token_ids``: not known, not examined.
    """
    most, eos = 4 * max_new_tokens, frozenset(number.to_bytes(4, "little") for number in eos_token_ids)
    problems = [_of_its_form(answer, most, eos) for answer in answers]
    if vocab_size is not None:
        whole = (
            answers if "empty" not in problems else [a for a, p in zip(answers, problems, strict=True) if p != "empty"]
        )
        if whole and _largest(b"".join(whole)) >= vocab_size:
            for at, answer in enumerate(answers):
                if problems[at] != "empty" and _largest(answer) >= vocab_size:
                    problems[at] = "out_of_vocabulary"
    return problems if any(problems) else None


def _of_its_form(answer: bytes, most: int, eos: frozenset[bytes]) -> str:
    """What its length (``most`` bytes) and its last two ids tell."""
    size = len(answer)
    if not size or size & 3:
        return "empty"
    if size < 8:
        return "too_short"
    if size > most:
        return "too_long"
    if eos:
        if answer[-4:] not in eos:
            return "cut_short" if size < most else CLEAN
        if answer[-8:-4] in eos:
            return "extra_eos"
    return CLEAN


def _largest(tokens: bytes) -> int:
    """The largest id. Read without a sign, a negative one is beyond any vocabulary."""
    ids: npt.NDArray[Any] = np.frombuffer(tokens, UNSIGNED)
    return int(np.maximum.reduce(ids))
