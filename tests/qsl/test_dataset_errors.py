"""A bad file gets one line that names the file, the row and the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlperf_llama_base.errors import EnvironmentFault, UserError
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
    pq.write_table(pa.table({"input": ["a"], "tok_input": [[1]], "output": ["b"]}), path)  # int64
    assert "no column tok_input of type list<" in refused(path)
    pq.write_table(pa.table({"a": [1]}), path)
    assert "no column input" in refused(path)


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
