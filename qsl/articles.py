"""Where articles come from: the hub's CNN/DailyMail in streaming mode, or a local Parquet, JSON Lines or CSV file."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mlperf_llama_base import typed
from mlperf_llama_base.errors import EnvironmentFault, UserError
from mlperf_llama_base.files import expanded
from qsl import id_list
from qsl.foreign import what_it_is

HUB_ID = "abisee/cnn_dailymail"
OLD_HUB_ID = "cnn_dailymail"  # the reference's; today's hub client refuses it
HUB_CONFIG = "3.0.0"
HUB_SPLIT = "validation"
SUFFIXES = (".parquet", ".jsonl", ".csv")
Row = dict[str, object]  # column -> what stands there, which need not be a text


class Article(NamedTuple):
    text: str
    summary: str


@dataclass
class ArticleSource:
    """``articles`` is read once; ``total`` is how many there are, where that is known beforehand."""

    articles: Iterator[Article]
    total: int | None
    label: str


def open_source(
    source: str = HUB_ID,
    *,
    config: str = HUB_CONFIG,
    split: str = HUB_SPLIT,
    text_column: str = "article",
    summary_column: str = "highlights",
    ids: id_list.IdList | None = None,
    id_column: str = id_list.COLUMN,
) -> ArticleSource:
    """Open a local file, a folder with Parquet files of the split (``validation*.parquet``; also as the hub's client
    leaves a download, with a folder for each configuration), or a hub data set. ``ids``: these rows alone, so ordered.

    Raises ``UserError`` for a file that is missing, of another kind, or lacks a column (naming the row, while it is
    read), and ``EnvironmentFault`` where the hub does not answer.
    """
    wanted = [text_column, summary_column, *([id_column] if ids else [])]
    rows, total, label = _rows(source, config, split, wanted)
    if ids:
        rows = id_list.select(rows, ids, column=id_column, source=source)
        total, label = len(ids.ids), f"{label}, {ids.label}"
    return ArticleSource(_pick(source, rows, text_column, summary_column), total, label)


def _rows(source: str, config: str, split: str, columns: list[str]) -> tuple[Iterator[Any], int | None, str]:
    """The rows, how many there are where that is known, and what they are."""
    path = expanded(source)
    if path.is_dir():
        files = _files_of_split(path, config, split)
    elif path.suffix in SUFFIXES or path.is_absolute() or source.startswith((".", "~")):
        if not path.is_file():
            raise UserError(f"article source {path}: there is no such file")
        if path.suffix not in SUFFIXES:
            raise UserError(f"article source {path}: the name must end in one of {', '.join(SUFFIXES)}")
        files = [path]
    else:
        rows, total = _hub(HUB_ID if source == OLD_HUB_ID else source, config, split)
        return rows, total, f"{source} {config} {split}"
    for file in files:
        if foreign := _foreign(file):
            raise UserError(f"article source {file} is {foreign}")
    readers = {".parquet": _parquet, ".jsonl": _json_lines, ".csv": _csv}
    return (row for file in files for row in readers[file.suffix](file, columns)), None, path.name


def _files_of_split(folder: Path, config: str, split: str) -> list[Path]:
    """The split's Parquet files in ``folder``, in its folder ``config``, or in the one folder below that has any."""
    for place in (folder, folder / config):
        if files := sorted(place.glob(f"{split}*.parquet")):
            return files
    files = sorted(folder.rglob(f"{split}*.parquet"))
    places = sorted({file.parent for file in files})
    if len(places) > 1:
        names = ", ".join(str(place.relative_to(folder)) for place in places)
        raise UserError(f"article source {folder}: {split}*.parquet is in several folders; give one of them: {names}")
    if not files:
        raise UserError(f"article source {folder}: the folder holds no {split}*.parquet")
    return files


def _pick(source: str, rows: Iterator[Any], text_column: str, summary_column: str) -> Iterator[Article]:
    number = -1
    try:
        for number, row in enumerate(rows):
            article = Article(*(row.get(column) for column in (text_column, summary_column)))
            for column, value in zip((text_column, summary_column), article, strict=True):
                if not isinstance(value, str):
                    raise UserError(
                        f"article source {source}, row {number} (counted from 0) has no text in column "
                        f"{column!r}; its columns are {', '.join(map(str, row))}"
                    )
            yield article
    except OSError as error:
        raise EnvironmentFault(f"article source {source} broke off at row {number + 1} ({error}); try again") from error
    except (msgspec.DecodeError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"article source {source} is damaged at row {number + 1} ({error})") from error


def _foreign(file: Path) -> str | None:
    """What ``file`` is instead of articles. A byte-order mark does no harm in CSV."""
    try:
        foreign = what_it_is(file)
    except OSError as error:
        raise UserError(f"article source {file} cannot be read: {error.strerror or error}") from error
    return None if foreign and file.suffix == ".csv" and "byte-order" in foreign else foreign


def _json_lines(path: Path, columns: list[str]) -> Iterator[Row]:
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                yield typed.from_json(line, Row)


def _csv(path: Path, columns: list[str]) -> Iterator[Row]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # articles are longer than the default 128 KB may allow
    with path.open(newline="", encoding="utf-8-sig") as file:
        yield from csv.DictReader(file)


def _parquet(path: Path, columns: list[str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if missing := [column for column in columns if column not in names]:
                raise UserError(
                    f"article source {path} has no column {missing[0]!r}; its columns are {', '.join(names)}: name the "
                    "right ones with --text-column, --summary-column and --id-column"
                )
            for batch in file.iter_batches(batch_size=256, columns=columns):
                yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        raise UserError(f"article source {path} is a damaged Parquet file: {str(error).splitlines()[0]}") from error


def _hub(name: str, config: str, split: str) -> tuple[Iterator[Any], int | None]:
    from datasets import load_dataset

    try:
        stream = load_dataset(name, name=config, split=split, streaming=True)
    except (OSError, ValueError) as error:
        raise EnvironmentFault(
            f"data set {name} {config} did not come from the hub ({str(error).splitlines()[0]}); "
            "give --source a local .parquet, .jsonl or .csv with its articles"
        ) from error
    splits = stream.info.splits or {}
    return iter(stream), splits[split].num_examples if split in splits else None
