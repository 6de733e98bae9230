"""MLCommons' file: one JSON list of objects ``instruction, input, tok_input, output`` (over 150 MB for 13,368 rows).

The file is mapped, not read: msgspec finds the rows without decoding them, then one row at a time gives up its ids, so
that memory holds the ids and one row. Written as the reference writes it (mlcommons/inference,
language/llama3.1-8b/download_cnndm.py: simplejson with ``indent=4, ensure_ascii=False``), byte for byte.
"""

from __future__ import annotations

import json
import mmap
import re
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import numpy as np

from mlperf_llama_base import typed
from mlperf_llama_base.errors import UserError
from qsl.foreign import what_it_is
from qsl.rows import TOKEN, Ids, Row


class _Prompt(msgspec.Struct):
    tok_input: list[Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]]


class _Article(msgspec.Struct):
    input: str


class _Summary(msgspec.Struct):
    output: str


T = TypeVar("T", bound=msgspec.Struct)


def read_ids(path: Path, limit: int | None) -> Ids:
    """Return the token ids of the first ``limit`` rows (all: None). Raises ``UserError`` naming file and row."""
    flat = array("i")
    offsets = [0]
    with _rows(path) as rows:
        for number, raw in enumerate(rows[:limit]):
            flat.extend(_decode(path, number, raw, _Prompt).tok_input)
            offsets.append(len(flat))
        file_count = len(rows)
    ids = np.frombuffer(flat, np.int32).astype(TOKEN, copy=False) if flat else np.empty(0, TOKEN)
    return Ids(flat=ids, offsets=np.asarray(offsets, np.int64), file_count=file_count, label=path.stem)


def read_articles(path: Path, indices: Sequence[int]) -> list[str]:
    """Return ``input`` of the rows at ``indices``."""
    with _rows(path) as rows:
        return [_decode(path, i, rows[i], _Article).input for i in indices]


def read_summaries(path: Path, indices: Sequence[int]) -> list[str]:
    """Return ``output`` of the rows at ``indices``."""
    with _rows(path) as rows:
        return [_decode(path, i, rows[i], _Summary).output for i in indices]


@contextmanager
def _rows(path: Path) -> Iterator[list[msgspec.Raw]]:
    """Yield the undecoded rows; they point into the mapped file and must not outlive the block."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise UserError(f"data set {path} is an empty file: make it with `mlperf-llama data prepare`")
        # Never closed by hand: rows in a traceback may still point into it, and the last reference unmaps it anyway
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        rows = typed.from_json(mapped, list[msgspec.Raw])
    except msgspec.ValidationError as error:
        raise UserError(
            f"data set {path} is not a JSON list of objects ({error}); make one with `mlperf-llama data prepare`"
        ) from error
    except (msgspec.DecodeError, RecursionError) as error:
        if foreign := what_it_is(path):
            raise UserError(f"data set {path} is {foreign}") from error
        raise UserError(
            f"data set {path} is not JSON, or is cut short ({error}{_near(mapped, str(error))}); make it anew with "
            "`mlperf-llama data prepare`"
        ) from error
    yield rows


def _near(text: mmap.mmap, error: str) -> str:
    """The text around the byte that ``error`` names, such as a NaN, which is no JSON."""
    found = re.search(r"\(byte (\d+)\)", error)
    if not found:
        return ""
    place = int(found[1])
    excerpt = text[max(0, place - 12) : place + 12].decode(errors="replace")
    return f", near {excerpt!a}"


def _decode(path: Path, number: int, raw: msgspec.Raw, kind: type[T]) -> T:
    try:
        return typed.from_json(raw, kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        reason = str(error).replace("`$.", "`")
        raise UserError(
            f"data set {path}, row {number} (counted from 0): {reason}; MLCommons' rows are objects with "
            "instruction, input, tok_input (a list of token ids), output"
        ) from error


class JsonWriter:
    """Writes the rows one by one."""

    def __init__(self, path: Path, instruction: dict[str, str] | str) -> None:
        if isinstance(instruction, str):
            self._instruction = _quote(instruction)
        else:
            pairs = ",\n".join(f"            {_quote(key)}: {_quote(value)}" for key, value in instruction.items())
            self._instruction = f"{{\n{pairs}\n        }}"
        self._file = path.open("w", encoding="utf-8", newline="\n")
        self._separator = "["

    def write(self, row: Row) -> None:
        """Append a row. Formatted by hand: ``json``'s indenting encoder is pure Python and 10 times slower."""
        ids = ",\n            ".join(map(str, row.ids))
        self._file.write(
            f'{self._separator}\n    {{\n        "instruction": {self._instruction},\n'
            f'        "input": {_quote(row.article)},\n'
            f'        "tok_input": [\n            {ids}\n        ],\n'
            f'        "output": {_quote(row.summary)}\n    }}'
        )
        self._separator = ","

    def close(self) -> None:
        """End the list and close the file."""
        with self._file:
            self._file.write("[]" if self._separator == "[" else "\n]")


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
