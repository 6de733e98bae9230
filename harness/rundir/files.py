"""Reading and writing the files of a run directory: whole or not at all, and never a surprise from a damaged one.

A run directory may come from anywhere: cut off, of another program, of wrong types, nested a thousand deep. Whatever
is in it, a reader gets the typed record or one line that names the file and what is wrong in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from mlperf_llama_base import typed
from mlperf_llama_base.errors import UserError
from mlperf_llama_base.files import write_whole

T = TypeVar("T", bound=msgspec.Struct)


def write_record(path: Path, record: msgspec.Struct) -> None:
    """Write a record as JSON, in one step. Numbers that JSON lacks (NaN, infinity) become null. Raises ``OSError``."""
    write_whole(path, f"{as_json_text(record)}\n".encode())


def as_json_text(record: msgspec.Struct) -> str:
    return msgspec.json.format(msgspec.json.encode(record), indent=1).decode()


def read_record(path: Path, kind: type[T]) -> T | None:
    """Return the record in ``path``, None where there is no such file or it holds nothing.

    Null is the same as absent. Raises ``UserError`` for a file that is damaged or of a newer version of this program.
    """
    tree = read_mapping(path)
    if not tree:
        return None
    version, newest = tree.get("schema_version"), _version_of(kind)
    if isinstance(version, int) and newest is not None and version > newest:
        raise UserError(
            f"{path} is of version {version}, this program knows {newest}: read it with the program that wrote it"
        )
    try:
        return typed.convert({key: value for key, value in tree.items() if value is not None}, kind)
    except msgspec.ValidationError as error:
        raise damaged(path, error) from error


def read_mapping(path: Path) -> dict[str, Any] | None:
    """Return a JSON or YAML mapping, None where there is no such file. Raises ``UserError`` if it is damaged."""
    if not path.is_file():
        return None
    try:
        content = path.read_bytes()
        value = msgspec.json.decode(content) if path.suffix == ".json" else _yaml(content)
    except (msgspec.DecodeError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise damaged(path, error) from error
    if not isinstance(value, dict):
        raise damaged(path, f"expected a mapping, found {type(value).__name__}")
    return value


def damaged(path: Path, why: BaseException | str) -> UserError:
    """The error that says which file is damaged, in one line."""
    text = "it is nested too deeply" if isinstance(why, RecursionError) else " ".join(str(why).split())[:120]
    return UserError(f"{path} is damaged: {text or type(why).__name__}")


def _yaml(content: bytes) -> Any:
    tree = yaml.safe_load(content.decode())
    if isinstance(tree, dict) and not all(isinstance(key, str) for key in tree):
        raise ValueError("a key is not text")
    return tree


def _version_of(kind: type[msgspec.Struct]) -> int | None:
    for field in msgspec.structs.fields(kind):
        if field.name == "schema_version" and isinstance(field.default, int):
            return field.default
    return None
