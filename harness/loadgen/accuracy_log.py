"""LoadGen's accuracy log, read entry by entry so that a log of any size needs little memory.

Format: mlcommons/inference, loadgen/logging.cc LogAccuracy: a JSON list with one object a line; ``data`` and
``token_data`` are upper-case hexadecimal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from mlperf_llama_base import typed
from mlperf_llama_base.errors import UserError

IntArray = npt.NDArray[np.int32]


class Entry(msgspec.Struct, gc=False):
    """One logged sample. ``token_data`` is absent in Offline, ``token_count`` where token latencies are off."""

    seq_id: int
    qsl_idx: int
    data: str
    token_data: str | None = None
    token_count: int | None = None


@dataclass(frozen=True, kw_only=True)
class AccuracyLog:
    """The log without repeated samples, in logged order.

    ``qsl_idx``: shape [n]. ``tokens``: n int32 arrays. ``repeated``: entries dropped because their sample came before.
    """

    qsl_idx: npt.NDArray[np.int64]
    tokens: list[IntArray]
    repeated: int


def read_entries(path: Path) -> Iterator[Entry]:
    """Yield the entries of an accuracy log. Raises ``UserError`` naming the place if it is missing, cut off or
    damaged.
    """
    if not path.is_file():
        raise UserError(f"accuracy log {path} does not exist: run with --mode accuracy first, or give --log FILE")
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline()
        if first.strip() == "[":
            second = file.readline()
            if second.strip() != "{":
                yield from _read_lines(path, chain([second], file))
                return
            first += second  # not LoadGen's layout but an indented one, as other tools write it
        text = first + file.read()
    if not text.strip():
        raise UserError(f"accuracy log {path} is empty: the run ended before LoadGen wrote it; run it again")
    try:
        yield from typed.from_json(text, list[Entry])
    except msgspec.DecodeError as error:
        raise UserError(_damage(path, where="it", read=0, text=text, error=error)) from error


def _read_lines(path: Path, lines: Iterator[str]) -> Iterator[Entry]:
    decode = msgspec.json.Decoder(typed.ready(Entry)).decode
    read, last = 0, False
    for number, line in enumerate(lines, 2):
        text = line.strip()
        if not text:
            continue
        if text == "]" or last:
            last = True
            if text != "]":
                raise UserError(
                    f"accuracy log {path}: line {number} follows the end of the list; the file is not one log"
                )
            continue
        try:
            entry = decode(text.removesuffix(","))
        except msgspec.DecodeError as error:
            raise UserError(_damage(path, where=f"line {number}", read=read, text=text, error=error)) from error
        read += 1
        yield entry
    if not last:
        raise UserError(
            f"accuracy log {path} is cut off after {read:,} complete samples (no closing bracket): the run did "
            "not end, or the file was not copied whole; use the complete log"
        )


def _damage(path: Path, *, where: str, read: int, text: str, error: Exception) -> str:
    if text == "..." or "\n...\n" in text or is_shortened(path):
        return (
            f"accuracy log {path} was shortened by the submission's truncation tool: score the complete log that the "
            "tool backed up"
        )
    if "truncated" in str(error) or not text.rstrip(",").endswith("}"):
        return (
            f"accuracy log {path} is cut off in the middle: {where} is incomplete after {read:,} complete samples; the "
            "run did not end, or the file was not copied whole; use the complete log"
        )
    return f"accuracy log {path} is not LoadGen's: {where} is not readable ({error})"


def is_shortened(path: Path) -> bool:
    """truncate_accuracy_log.py of mlcommons/inference keeps both ends and puts ``...`` between them."""
    return path.is_file() and path.stat().st_size < 20_000 and "\n...\n" in path.read_text(errors="replace")


def tokens_of(entry: Entry, path: Path) -> IntArray:
    """The generated ids of an entry, shape [n_tokens].

    Other harnesses log 64-bit ids, the default of the reference's evaluation; ``token_count`` gives them away. Raises
    ``UserError`` if ``data`` is no list of int32.
    """
    try:
        raw = bytes.fromhex(entry.data)
    except ValueError as error:
        raise UserError(f"accuracy log {path}: sample {entry.qsl_idx}: data is not hexadecimal") from error
    if entry.token_count and len(raw) == 8 * entry.token_count:
        wide = np.frombuffer(raw, dtype="<i8")
        if wide.min() < 0 or wide.max() > np.iinfo(np.int32).max:
            raise UserError(f"accuracy log {path}: sample {entry.qsl_idx}: 64-bit values that are not token ids")
        return wide.astype(np.int32)
    if len(raw) % 4:
        raise UserError(
            f"accuracy log {path}: sample {entry.qsl_idx}: {len(raw)} bytes are not a list of int32 token ids"
        )
    return np.frombuffer(raw, dtype="<i4").astype(np.int32, copy=False)


def read_accuracy_log(path: Path) -> AccuracyLog:
    """Read a whole log, keeping the first entry of each sample as the reference evaluation does."""
    seen: dict[int, IntArray] = {}
    read = 0
    for entry in read_entries(path):
        read += 1
        if entry.qsl_idx not in seen:
            seen[entry.qsl_idx] = tokens_of(entry, path)
    return AccuracyLog(
        qsl_idx=np.fromiter(seen, dtype=np.int64, count=len(seen)),
        tokens=list(seen.values()),
        repeated=read - len(seen),
    )
