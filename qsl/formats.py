"""The two file formats of a data set, by name and by content, and writing a file whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Protocol

from mlperf_llama_base.errors import EnvironmentFault, UserError
from mlperf_llama_base.files import replacing
from qsl.rows import Row


def format_of(path: Path) -> str:
    """``parquet`` or ``mlcommons-json``, by the file's first bytes. Raises ``OSError``."""
    with path.open("rb") as file:
        return "parquet" if file.read(4) == b"PAR1" else "mlcommons-json"


def reader(format_name: str) -> ModuleType:
    """The module with ``read_ids``, ``read_articles`` and ``read_summaries`` for a format."""
    if format_name == "parquet":
        from qsl import parquet_file

        return parquet_file
    from qsl import mlcommons_json

    return mlcommons_json


class Writer(Protocol):
    def write(self, row: Row) -> None:
        """Append a row."""

    def close(self) -> None:
        """Finish the file."""


@contextmanager
def open_writer(path: Path, *, label: str, instruction: dict[str, str] | str) -> Iterator[Writer]:
    """Write MLCommons' JSON (``.json``) or Parquet (``.parquet``) to ``path``, which appears only when all is written.

    ``label`` says what the data is (Parquet keeps it); ``instruction`` fills MLCommons' column of that name.
    Raises ``UserError`` for another suffix and ``EnvironmentFault`` where the file cannot be written.
    """
    if path.suffix not in (".json", ".parquet"):
        raise UserError(f"data set {path}: the name must end in .json (MLCommons' format) or .parquet (ours, faster)")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as scratch:
            writer = _new_writer(scratch, label, instruction)
            try:
                yield writer
            finally:
                writer.close()
    except OSError as error:
        raise EnvironmentFault(f"cannot write data set {path}: {error.strerror or error}") from error


def _new_writer(path: Path, label: str, instruction: dict[str, str] | str) -> Writer:
    if path.suffix == ".json":
        from qsl.mlcommons_json import JsonWriter

        return JsonWriter(path, instruction)
    from qsl.parquet_file import ParquetWriter

    return ParquetWriter(path, label)
