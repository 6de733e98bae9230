"""What the file formats share: a row, and the token ids of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int32]
TOKEN = np.dtype("<i4")
"""Token ids in memory and on the wire: int32, little-endian."""


class Row(NamedTuple):
    """One sample: the article, its prompt as token ids, the reference summary."""

    article: str
    ids: Sequence[int] | IntArray
    summary: str


@dataclass(frozen=True, eq=False)
class Ids:
    """Token ids of the first rows of a file: row i is ``flat[offsets[i]:offsets[i + 1]]``.

    ``flat``: int32 [tokens]; ``offsets``: int64 [rows + 1]; ``file_count``: rows of the whole file.
    """

    flat: IntArray
    offsets: npt.NDArray[np.int64]
    file_count: int
    label: str
