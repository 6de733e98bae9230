"""Takes rows of a data set by their ids, in the order of a list: MLCommons' calibration set is one of 1,000 ids.

Source: mlcommons/inference, calibration/CNNDailyMail/calibration-list.txt (one id a line, of the split ``train``) and
language/llama3.1-8b/prepare-calibration.py. The list itself is not part of this project.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlperf_llama_base.errors import UserError
from mlperf_llama_base.files import sha256_of

COLUMN = "id"


@dataclass(frozen=True)
class IdList:
    """``ids`` in the file's order, repetitions included; ``sha256`` is the file's."""

    path: Path
    ids: tuple[str, ...]
    sha256: str

    @classmethod
    def read(cls, path: Path) -> IdList:
        """Read a text file with an id on each line; empty lines do not count. Raises ``UserError``."""
        try:
            ids = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
            digest = sha256_of(path)
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"list of ids {path} cannot be read ({error}): give a text file with one id a line"
            ) from error
        if not ids:
            raise UserError(f"list of ids {path} is empty: it must hold one id a line")
        return cls(path, ids, digest)

    @property
    def label(self) -> str:
        """Names the list so that another of the same name is told from it."""
        return f"{len(self.ids):,} rows of {self.path.name} (sha256 {self.sha256[:12]})"


def select(rows: Iterable[Any], wanted: IdList, *, column: str, source: str) -> Iterator[Any]:
    """The rows whose ``column`` is in the list, in its order. Reads until all are found and keeps only those.

    Raises ``UserError`` where a row lacks the column, or an id is in none of the rows.
    """
    missing, found = set(wanted.ids), {}
    for number, row in enumerate(rows):
        if column not in row:
            raise UserError(
                f"article source {source}, row {number} (counted from 0) has no column {column!r}; its columns are "
                f"{', '.join(map(str, row))}: name the right one with --id-column"
            )
        if (key := str(row[column])) in missing:
            found[key] = row
            missing.discard(key)
            if not missing:
                break
    if missing:
        first = next(key for key in wanted.ids if key in missing)
        raise UserError(
            f"article source {source} lacks {len(missing):,} of the {len(set(wanted.ids)):,} ids in {wanted.path} "
            f"(first: {first}): is it the right split? MLCommons' calibration list names rows of --split train"
        )
    yield from (found[key] for key in wanted.ids)
