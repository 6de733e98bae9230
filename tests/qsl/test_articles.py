"""Every kind of source gives the same articles; what is wrong with one is said."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from mlperf_llama_base.errors import EnvironmentFault, UserError
from qsl.articles import Article, open_source

LONG = "x" * 150_000  # longer than csv's own limit
ROWS = [
    {"id": "0", "article": "Text “0”,\nmore\u2028lines", "highlights": "s0"},
    {"id": "1", "article": f"Text “1”, {LONG}", "highlights": "s1"},
]
WANTED = [Article(row["article"], row["highlights"]) for row in ROWS]


def as_jsonl(path: Path, rows: list[dict[str, str]] = ROWS) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_local_files(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    as_jsonl(tmp_path / "a.jsonl")
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)
    (tmp_path / "hub").mkdir()
    for name, rows in (("validation-0", ROWS[:1]), ("validation-1", ROWS[1:]), ("test-0", ROWS)):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "hub" / f"{name}.parquet")
    for name in ("a.jsonl", "a.csv", "hub", "hub/test-0.parquet"):
        assert list(open_source(str(tmp_path / name)).articles) == WANTED, name


def test_other_columns(tmp_path: Path) -> None:
    path = as_jsonl(tmp_path / "a.jsonl", [{"document": "d", "summary": "s"}])
    source = open_source(str(path), text_column="document", summary_column="summary")
    assert list(source.articles) == [Article("d", "s")]
    with pytest.raises(UserError, match=r"row 0 .* no text in column 'article'; its columns are document, summary"):
        list(open_source(str(path)).articles)


def test_wrong_sources(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    for name, reason in (("none.csv", "no such file"), ("a.txt", "must end in"), ("", "holds no validation")):
        with pytest.raises(UserError, match=reason):
            open_source(str(tmp_path / name))
    (tmp_path / "a.jsonl").write_text('{"article": "a", "highlights": "b"}\n{"article": \n')
    with pytest.raises(UserError, match="damaged at row 1 "):
        list(open_source(str(tmp_path / "a.jsonl")).articles)
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(UserError, match="damaged Parquet"):
        list(open_source(str(tmp_path / "a.parquet")).articles)


@pytest.mark.parametrize("below", ["", "3.0.0", "data"])
def test_a_folder_as_the_hubs_client_leaves_it(tmp_path: Path, below: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    place = tmp_path / below
    place.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(ROWS), place / "validation-00000-of-00001.parquet")
    (tmp_path / "1.0.0").mkdir()
    pq.write_table(pa.Table.from_pylist(ROWS[:1]), tmp_path / "1.0.0" / "train-00000-of-00001.parquet")
    assert list(open_source(str(tmp_path)).articles) == WANTED


def test_a_folder_with_the_split_twice_asks_which(tmp_path: Path) -> None:
    for name in ("1.0.0", "2.0.0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "validation-0.parquet").touch()
    with pytest.raises(UserError, match=r"in several folders; give one of them: 1\.0\.0, 2\.0\.0"):
        open_source(str(tmp_path))


def test_parquet_with_other_columns_lists_them(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"document": ["a"], "summary": ["b"]}), path)
    with pytest.raises(UserError, match=r"no column 'article'; its columns are document, summary: .*--text-column"):
        list(open_source(str(path)).articles)
    assert list(open_source(str(path), text_column="document", summary_column="summary").articles) == [("a", "b")]


def test_hub_streams_through_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder laid out like the hub's repository stands in for it."""
    import datasets

    as_jsonl(tmp_path / "v.jsonl")
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: 3.0.0\n  data_files:\n  - split: validation\n    path: v.jsonl\n"
        "dataset_info:\n- config_name: 3.0.0\n  splits:\n  - name: validation\n    num_examples: 2\n---\n"
    )
    asked: list[Any] = []

    def load(path: str, **options: Any) -> Any:
        asked.append((path, options))
        return real(str(tmp_path), **options)

    real = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", load)
    source = open_source("cnn_dailymail")
    assert asked == [("abisee/cnn_dailymail", {"name": "3.0.0", "split": "validation", "streaming": True})]
    assert list(source.articles) == WANTED
    assert source.total == 2
    assert source.label == "cnn_dailymail 3.0.0 validation"


def test_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def load(*_: Any, **__: Any) -> Any:
        raise ConnectionError("Couldn't reach 'x' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(EnvironmentFault, match=r"did not come from the hub .*--source"):
        open_source("cnn_dailymail")


def test_line_that_goes_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    from qsl import articles

    def rows() -> Any:
        yield ROWS[0]
        raise ConnectionError("reset by peer")

    monkeypatch.setattr(articles, "_hub", lambda *_: (rows(), 2))
    with pytest.raises(EnvironmentFault, match="broke off at row 1 "):
        list(open_source("some/set").articles)
