"""Both formats give the same data set: ids, lengths, duplicates, texts when asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlperf_llama_base.errors import UserError
from qsl.dataset import Dataset
from qsl.formats import open_writer
from qsl.rows import Row

ROWS = [
    Row("Ünïcode “quotes”, \\ and \u2028", [1, 2, 3], "first"),
    Row("b", [4], "second\nline"),
    Row("c", [1, 2, 3], "third"),
    Row("d", [70000, 0, 2**31 - 1], "fourth 🎈"),
]


@pytest.fixture(params=["json", "parquet"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"set.{request.param}"
    with open_writer(path, label="a label", instruction={"llama": "do"}) as writer:
        for row in ROWS:
            writer.write(row)
    return path


def test_loads_ids(path: Path) -> None:
    data = Dataset.load(path)
    assert data.count == data.file_count == 4
    assert [data.tokens(i).tolist() for i in range(4)] == [row.ids for row in ROWS]
    assert data.tokens(0).dtype == np.int32 == data.ids.dtype
    assert data.lengths.tolist() == [3, 1, 3, 3]
    assert data.lengths.dtype == np.int32
    assert data.duplicates == 1
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (data.format, data.label) == (
        ("parquet", "a label") if path.suffix == ".parquet" else ("mlcommons-json", "set")
    )
    assert data.path == path


def test_prompts_are_read_only_views(path: Path) -> None:
    data = Dataset.load(path)
    view = data.tokens(3)
    assert np.shares_memory(view, data.ids)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 9
    for outside in (-1, 4):
        with pytest.raises(IndexError):
            data.tokens(outside)


def test_texts_come_in_the_order_asked_for(path: Path) -> None:
    data = Dataset.load(path)
    assert data.references([3, 0, 3]) == ["fourth 🎈", "first", "fourth 🎈"]
    assert data.references(np.array([1])) == ["second\nline"]  # type: ignore[arg-type]
    assert data.articles([0]) == [ROWS[0].article]
    assert data.references([]) == []
    with pytest.raises(UserError, match=r"row 4 is asked for.*has 4 in use"):
        data.references([4])


def test_limit_takes_the_first_rows(path: Path) -> None:
    data = Dataset.load(path, limit=2)
    assert (data.count, data.file_count, data.duplicates) == (2, 4, 0)
    assert data.ids.tolist() == [1, 2, 3, 4]
    assert Dataset.load(path, limit=99).count == 4
    with pytest.raises(UserError, match="row 3 is asked for"):
        data.references([3])
    with pytest.raises(UserError, match="at least 1"):
        Dataset.load(path, limit=0)


def test_changed_file_is_not_scored_against(path: Path) -> None:
    data = Dataset.load(path)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(UserError, match="changed after it was loaded"):
        data.references([0])
    path.unlink()
    with pytest.raises(UserError, match="cannot be read again"):
        data.references([0])


def test_parquet_of_many_groups_and_any_column_order(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = [[i, i + 1] for i in range(2500)]
    table = pa.table({"tok_input": pa.array(ids, pa.list_(pa.int32())), "output": ["o"] * 2500, "input": ["i"] * 2500})
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=700)
    data = Dataset.load(tmp_path / "x.parquet")
    assert data.ids.reshape(-1, 2).tolist() == ids
    assert data.label == "x"
    assert Dataset.load(tmp_path / "x.parquet", limit=1500).ids.reshape(-1, 2).tolist() == ids[:1500]


def test_data_set_without_summaries_cannot_be_scored(
    tmp_path: Path, write_json: Callable[..., Path], row: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(UserError, match="no reference summaries"):
        Dataset.load(write_json([row([1], output="")])).references([0])
    with open_writer(tmp_path / "x.parquet", label="x", instruction={}) as writer:
        writer.write(Row("", [1], ""))
    with pytest.raises(UserError, match="no reference summaries"):
        Dataset.load(tmp_path / "x.parquet").references([0])


def test_file_is_whole_or_not_there(tmp_path: Path) -> None:
    for name in ("x.json", "x.parquet"):
        (tmp_path / name).write_text("the one before")
        with pytest.raises(KeyError), open_writer(tmp_path / name, label="x", instruction={"a": "b"}) as writer:
            writer.write(ROWS[0])
            raise KeyError
        assert (tmp_path / name).read_text() == "the one before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.json", "x.parquet"]
    with pytest.raises(UserError, match=r"must end in \.json"):
        open_writer(tmp_path / "x.txt", label="", instruction={}).__enter__()
