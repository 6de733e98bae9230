"""A data set in memory: token ids only, in one flat array. The text stays in the file until somebody scores.

Two formats, told apart by content: MLCommons' JSON and Parquet (``qsl.formats``). A list of Python lists would take ten
times the memory of the ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mlperf_llama_base.errors import UserError
from qsl.formats import format_of, reader
from qsl.rows import Ids, IntArray


@dataclass(frozen=True, eq=False)
class Dataset:
    """The prompts of a file.

    ``sha256`` is the file's, in hex; ``format`` is ``mlcommons-json`` or ``parquet``; ``label`` says what the data is;
    ``file_count`` counts the file's rows, ``count`` those in use; ``duplicates`` those with the ids of an earlier row.
    """

    path: Path
    format: str
    sha256: str
    label: str
    file_count: int
    duplicates: int
    ids: IntArray
    offsets: npt.NDArray[np.int64]
    stamp: tuple[int, int]

    @classmethod
    def load(
        cls,
        path: Path | str,
        *,
        limit: int | None = None,
        vocab_size: int | None = None,
        max_prompt_tokens: int | None = None,
    ) -> Dataset:
        """Read and check the file; ``limit`` takes the first rows only.

        Raises ``UserError`` naming file and row for a file that is missing, not of a known format or empty, and for a
        row without token ids, with an empty prompt, one longer than ``max_prompt_tokens``, or an id below 0 or not
        below ``vocab_size``.
        """
        path = Path(path)
        if limit is not None and limit < 1:
            raise UserError(f"data set limit must be at least 1, not {limit}")
        try:
            digest, stamp = _digest(path), _stamp(path)
            kind = format_of(path)
            found: Ids = reader(kind).read_ids(path, limit)
        except OSError as error:
            raise UserError(
                f"data set {path} cannot be read: {error.strerror or error}; give MLCommons' JSON or make "
                "one with `mlperf-llama data prepare`"
            ) from error
        _check(path, found.flat, found.offsets, vocab_size=vocab_size, max_prompt_tokens=max_prompt_tokens)
        found.flat.setflags(write=False)
        found.offsets.setflags(write=False)
        return cls(
            path=path,
            format=kind,
            sha256=digest,
            label=found.label,
            file_count=found.file_count,
            duplicates=_count_duplicates(found),
            ids=found.flat,
            offsets=found.offsets,
            stamp=stamp,
        )

    def check(self, *, vocab_size: int | None, max_prompt_tokens: int | None) -> None:
        """Check against a model that was known only later. Raises ``UserError`` as ``load`` does."""
        _check(self.path, self.ids, self.offsets, vocab_size=vocab_size, max_prompt_tokens=max_prompt_tokens)

    @property
    def count(self) -> int:
        """Rows in use."""
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> IntArray:
        """Tokens of each prompt, int32 [count]."""
        return np.diff(self.offsets).astype(np.int32)

    def tokens(self, index: int) -> IntArray:
        """Return the prompt of row ``index`` as a read-only int32 view."""
        if not 0 <= index < self.count:
            raise IndexError(f"row {index} of a data set of {self.count}")
        return self.ids[self.offsets[index] : self.offsets[index + 1]]

    def references(self, indices: Sequence[int]) -> list[str]:
        """Read the reference summaries of the rows at ``indices``, in that order; nothing is kept.

        Raises ``UserError`` if the file changed since it was loaded, or has no summaries at these rows at all.
        """
        texts = self._texts("read_summaries", indices)
        if indices and not any(texts):
            raise UserError(
                f"data set {self.path} holds no reference summaries, so there is nothing to score against; "
                "use one made by `mlperf-llama data prepare`"
            )
        return texts

    def articles(self, indices: Sequence[int]) -> list[str]:
        """Read the articles of the rows at ``indices``, in that order; nothing is kept."""
        return self._texts("read_articles", indices)

    def _texts(self, column: str, indices: Sequence[int]) -> list[str]:
        for index in indices:
            if not 0 <= index < self.count:
                raise UserError(
                    f"row {index} is asked for, but data set {self.path} has {self.count} in use: the "
                    "indices come from another data set"
                )
        try:
            if _stamp(self.path) != self.stamp:
                raise UserError(f"data set {self.path} changed after it was loaded; load it again")
            texts: list[str] = getattr(reader(self.format), column)(self.path, [int(i) for i in indices])
        except OSError as error:
            raise UserError(f"data set {self.path} cannot be read again: {error.strerror or error}") from error
        return texts


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _check(
    path: Path,
    ids: IntArray,
    offsets: npt.NDArray[np.int64],
    *,
    vocab_size: int | None,
    max_prompt_tokens: int | None,
) -> None:
    lengths = np.diff(offsets)
    if not len(lengths):
        raise UserError(f"data set {path} holds no samples: make one with `mlperf-llama data prepare`")
    if not lengths.all():
        raise UserError(
            f"data set {path}, row {int(lengths.argmin())} (counted from 0): the prompt is empty; remove "
            "the row, or make the data set anew with `mlperf-llama data prepare`"
        )
    if max_prompt_tokens is not None and lengths.max() > max_prompt_tokens:
        row = int(np.argmax(lengths > max_prompt_tokens))
        raise UserError(
            f"data set {path}, row {row} (counted from 0): the prompt has {lengths[row]} tokens, but the "
            f"model takes {max_prompt_tokens} besides its output; raise the model's context length"
        )
    top = np.iinfo(np.int32).max if vocab_size is None else vocab_size - 1
    if ids.min() < 0 or ids.max() > top:
        place = int(np.argmax((ids < 0) | (ids > top)))
        row = int(np.searchsorted(offsets, place, "right")) - 1
        why = "is negative" if ids[place] < 0 else f"is beyond the model's vocabulary of {vocab_size}"
        raise UserError(
            f"data set {path}, row {row} (counted from 0): token id {ids[place]} {why}; prepare it "
            "with the tokenizer of the model"
        )


def _count_duplicates(found: Ids) -> int:
    seen = set()
    for start, end in zip(found.offsets[:-1].tolist(), found.offsets[1:].tolist(), strict=True):
        seen.add(hashlib.blake2b(found.flat[start:end].data, digest_size=16).digest())
    return len(found.offsets) - 1 - len(seen)
