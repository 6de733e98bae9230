"""What the two file formats share: a row, the token ids of a file, and writing a file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from common.errors import EnvironmentFault, UserError

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


class Writer(Protocol):
    def write(self, row: Row) -> None:
        """Append a row."""

    def close(self) -> None:
        """Finish the file."""


@contextmanager
def open_writer(path: Path, *, label: str, instruction: dict[str, str]) -> Iterator[Writer]:
    """Write MLCommons' JSON (``.json``) or Parquet (``.parquet``) to ``path``, which appears only when all is written.

    ``label`` says what the data is (Parquet keeps it); ``instruction`` fills MLCommons' column of that name.
    Raises ``UserError`` for another suffix and ``EnvironmentFault`` where the file cannot be written.
    """
    if path.suffix not in (".json", ".parquet"):
        raise UserError(f"data set {path}: the name must end in .json (MLCommons' format) or .parquet (ours, faster)")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = _new_writer(partial, path.suffix, label, instruction)
        try:
            yield writer
        finally:
            writer.close()
        partial.replace(path)
    except OSError as error:
        raise EnvironmentFault(f"cannot write data set {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # mostly it is not there any more
            partial.unlink()


def _new_writer(partial: Path, suffix: str, label: str, instruction: dict[str, str]) -> Writer:
    if suffix == ".json":
        from qsl.mlcommons_json import JsonWriter

        return JsonWriter(partial, instruction)
    from qsl.parquet_file import ParquetWriter

    return ParquetWriter(partial, label)
