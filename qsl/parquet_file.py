"""Our own file: Parquet with the columns ``input, tok_input, output``.

Why Parquet: loading touches only the ids' column, the file is a seventh of the JSON's size (of use where many machines
read it from a shared disk) and says what it holds, the text is read by itself when accuracy is scored, every data tool
opens it, and pyarrow is there already, under ``datasets``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mlperf_llama_base.errors import UserError
from qsl.rows import TOKEN, Ids, Row

SCHEMA = pa.schema([("input", pa.string()), ("tok_input", pa.list_(pa.int32())), ("output", pa.string())])
LABEL = b"mlperf-llama.label"
GROUP_ROWS = 1024


def read_ids(path: Path, limit: int | None) -> Ids:
    """Return the token ids of the first ``limit`` rows (all: None). Raises ``UserError`` naming file and row."""
    with _open(path) as file:
        about = file.metadata
        stored = range(about.num_row_groups)
        # An upper bound, as an empty list counts as one value; pages that stay unwritten take no memory
        leaf = next(i for i in range(len(file.schema)) if file.schema.column(i).path.startswith("tok_input."))
        flat = np.empty(sum(about.row_group(i).column(leaf).num_values for i in stored), TOKEN)
        lengths = np.empty(about.num_rows if limit is None else min(limit, about.num_rows), np.int64)
        rows = tokens = 0
        for group in stored:
            column = file.read_row_group(group, columns=["tok_input"], use_threads=False).column(0)
            lists = _as_int32(path, column).combine_chunks()[: len(lengths) - rows]
            values = lists.flatten()
            _refuse_gaps(path, rows, lists, values)
            flat[tokens : tokens + len(values)] = values
            lengths[rows : rows + len(lists)] = lists.value_lengths()
            rows, tokens = rows + len(lists), tokens + len(values)
        label = (file.schema_arrow.metadata or {}).get(LABEL, path.stem.encode()).decode()
    pa.default_memory_pool().release_unused()
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return Ids(flat=flat[:tokens], offsets=offsets, file_count=about.num_rows, label=label)


def _as_int32(path: Path, column: Any) -> Any:
    """pandas and ``datasets`` write 64-bit ids, large and fixed-size lists."""
    try:
        return column.cast(SCHEMA.field("tok_input").type)
    except pa.ArrowInvalid as error:
        raise UserError(f"data set {path}: tok_input holds values that are not token ids ({error})") from error


def _refuse_gaps(path: Path, first: int, lists: Any, values: Any) -> None:
    if lists.null_count or values.null_count:
        row = next(i for i, ids in enumerate(lists.to_pylist(), first) if ids is None or None in ids)
        raise UserError(
            f"data set {path}, row {row} (counted from 0): tok_input must be a list of token ids without gaps"
        )


def read_articles(path: Path, indices: Sequence[int]) -> list[str]:
    """Return ``input`` of the rows at ``indices``."""
    return _read_text(path, "input", indices)


def read_summaries(path: Path, indices: Sequence[int]) -> list[str]:
    """Return ``output`` of the rows at ``indices``."""
    return _read_text(path, "output", indices)


def _read_text(path: Path, column: str, indices: Sequence[int]) -> list[str]:
    with _open(path) as file:
        texts = file.read(columns=[column]).column(0).take(pa.array(indices, pa.int64())).to_pylist()
    return [text or "" for text in texts]


def _open(path: Path) -> Any:
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise UserError(f"data set {path} is a damaged Parquet file: {str(error).splitlines()[0]}") from error
    if problem := _unfit(file.schema_arrow):
        file.close()
        raise UserError(f"data set {path} {problem}; make one with `mlperf-llama data prepare`")
    return file


def _unfit(schema: Any) -> str:
    """Why these columns are no data set; empty if they are one."""
    for field in SCHEMA:
        if field.name not in schema.names:
            return f"has no column {field.name}; its columns are {', '.join(schema.names)}"
        found = schema.field(field.name).type
        if not (_is_ids(found) if field.name == "tok_input" else _is_text(found)):
            return f"has no column {field.name} of type {field.type}, but one of type {found}"
    return ""


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_ids(kind: Any) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and pa.types.is_integer(kind.value_type))


class ParquetWriter:
    """Writes the rows in groups of 1,024."""

    def __init__(self, path: Path, label: str) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA.with_metadata({LABEL: label}), compression="zstd")
        self._rows: list[Row] = []

    def write(self, row: Row) -> None:
        """Append a row."""
        self._rows.append(row)
        if len(self._rows) == GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Write what is left and close the file."""
        try:
            self._flush()
        finally:
            self._writer.close()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = {
            "input": [row.article for row in self._rows],
            "tok_input": [np.asarray(row.ids, np.int32) for row in self._rows],
            "output": [row.summary for row in self._rows],
        }
        self._writer.write_table(pa.table(columns, schema=self._writer.schema))
        self._rows.clear()
