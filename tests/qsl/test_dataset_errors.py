"""A bad file gets one line that names the file, the row and the reason."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlperf_llama_base.errors import EnvironmentFault, UserError
from qsl.articles import open_source
from qsl.dataset import Dataset
from qsl.formats import open_writer
from qsl.rows import Row

Write = Callable[..., Path]
MakeRow = Callable[..., dict[str, Any]]


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        Dataset.load(path, **options)
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    return message


def test_missing(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.json")
    assert "Is a directory" in refused(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty file"),
        ("hello", "is not JSON"),
        ('[{"tok_input": [1]}', "cut short"),
        ('{"tok_input": [1]}', "not a JSON list"),
        ('{"tok_input": [1]}\n{"tok_input": [2]}\n', "not a JSON list"),
        ("[]", "no samples"),
    ],
)
def test_not_a_list_of_rows(write_json: Write, text: str, reason: str) -> None:
    assert reason in refused(write_json(text))


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        ([1, -2], "Expected `int` >= 0"),
        ([1, 2.5], "got `float`"),
        ([1, 2.0], "got `float`"),
        ([True], "got `bool`"),
        ([1, None], "got `null`"),
        ("1 2", "got `str`"),
        (None, "got `null`"),
        ([2**31], "<= 2147483647"),
        ([], "the prompt is empty"),
        ([1, 100], "token id 100 is beyond the model's vocabulary of 100"),
        ([1] * 11, "has 11 tokens, but the model takes 10"),
    ],
)
def test_bad_ids_name_the_row(write_json: Write, row: MakeRow, ids: Any, reason: str) -> None:
    path = write_json([row([1]), row([2, 3]), row(ids), row([4])])
    message = refused(path, vocab_size=100, max_prompt_tokens=10)
    assert "row 2 " in message
    assert reason in message
    assert Dataset.load(path, limit=2, vocab_size=100, max_prompt_tokens=10).count == 2


def test_row_without_what_is_needed(write_json: Write, row: MakeRow) -> None:
    assert "row 1 (counted from 0): Object missing required field `tok_input`" in refused(
        write_json([row([1]), {"input": "x"}])
    )
    assert "row 0" in refused(write_json([[1, 2]]))
    data = Dataset.load(write_json([row([1]), {"tok_input": [2]}]))
    with pytest.raises(UserError, match=r"row 1 .*missing required field `output`"):
        data.references([1])
    with pytest.raises(UserError, match=r"row 1 .*missing required field `input`"):
        data.articles([1])


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin1.json"
    path.write_bytes('[{"tok_input": [1], "output": "café"}]'.encode("latin-1"))
    with pytest.raises(UserError, match=r"row 0 .*utf-8"):
        Dataset.load(path).references([0])


def test_duplicates_are_counted_not_refused(write_json: Write, row: MakeRow) -> None:
    assert Dataset.load(write_json([row([1, 2]), row([1]), row([1, 2]), row([1, 2])])).duplicates == 2


def test_damaged_or_foreign_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    assert "damaged Parquet" in refused(path)
    pq.write_table(pa.table({"input": ["a"], "tok_input": [[1.5]], "output": ["b"]}), path)
    assert "no column tok_input of type list<item: int32>, but one of type list<element: double>" in refused(path)
    pq.write_table(pa.table({"document": [1], "summary": ["b"]}), path)
    assert "no column input; its columns are document, summary" in refused(path)
    pq.write_table(pa.table({"input": ["a"], "tok_input": [[2**40]], "output": ["b"]}), path)
    assert "tok_input holds values that are not token ids" in refused(path)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("width", [32, 64])
def test_parquet_of_other_tools_is_read(tmp_path: Path, width: int, large: bool) -> None:
    """pandas and ``datasets`` write 64-bit ids, large lists and strings, dictionaries."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = pa.int64() if width == 64 else pa.int32()
    lists, text = (pa.large_list(number), pa.large_string()) if large else (pa.list_(number, 2), pa.string())
    ids = [[1, 2], [3, 4]]
    table = pa.table(
        {
            "input": pa.array(["a", "b"], text),
            "tok_input": pa.array(ids, lists),
            "output": pa.array(["c", "d"], text).dictionary_encode(),
        }
    )
    path = tmp_path / "x.parquet"
    pq.write_table(table, path)
    data = Dataset.load(path)
    assert [data.tokens(i).tolist() for i in range(2)] == ids
    assert (data.articles([1]), data.references([0, 1])) == (["b"], ["c", "d"])


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (codecs.BOM_UTF8 + b"[]", "UTF-8 with a byte-order mark"),
        ("[]".encode("utf-16"), "UTF-16"),
        (gzip.compress(b"[]", mtime=0), "compressed with gzip"),
        (b"PK\x03\x04....", "a zip archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html><body>Access denied</body></html>", "an HTML page"),
    ],
)
def test_a_foreign_file_is_named(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    assert f"{path} is {what}" in refused(path)
    articles = tmp_path / "x.jsonl"
    articles.write_bytes(content)
    with pytest.raises(UserError, match=what):
        open_source(str(articles))


def test_what_is_no_json_is_shown(write_json: Write) -> None:
    assert '"output": NaN}]' in refused(write_json('[{"tok_input": [1], "input": 1, "output": NaN}]'))
    assert "recursion" in refused(write_json("[" * 100_000))


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        (None, "without gaps"),
        ([1, None], "without gaps"),
        ([], "empty"),
        ([-1], "token id -1 is negative"),
        ([100], "beyond"),
    ],
)
def test_bad_ids_in_parquet(tmp_path: Path, ids: Any, reason: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from qsl.parquet_file import SCHEMA

    path = tmp_path / "x.parquet"
    columns = {"input": ["a"] * 3, "tok_input": [[1, 2], ids, [3]], "output": ["b"] * 3}
    pq.write_table(pa.table(columns, schema=SCHEMA), path)
    message = refused(path, vocab_size=100)
    assert reason in message
    assert "row 1 " in message


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("x.json", "x.parquet"):
        with (
            pytest.raises(EnvironmentFault, match="cannot write data set"),
            open_writer(tmp_path / "file" / name, label="", instruction={}) as writer,
        ):
            writer.write(Row("", [1], ""))
