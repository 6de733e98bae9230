"""Data sets of any content: what is written is read back, and a file that is cut off is never taken for a whole one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlperf_llama_base.errors import UserError
from qsl.dataset import Dataset
from qsl.formats import open_writer
from qsl.rows import Row

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
ROWS = st.lists(
    st.builds(Row, TEXT, st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=10), TEXT), min_size=1, max_size=4
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def write(path: Path, rows: list[Row]) -> Path:
    with open_writer(path, label="any", instruction={"llama": "x"}) as writer:
        for row in rows:
            writer.write(row)
    return path


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
@given(rows=ROWS)
def test_what_is_written_is_read_back(folder: Path, suffix: str, rows: list[Row]) -> None:
    data = Dataset.load(write(folder / f"data{suffix}", rows))
    everything = range(len(rows))
    assert [data.tokens(i).tolist() for i in everything] == [list(row.ids) for row in rows]
    assert data.articles(everything) == [row.article for row in rows]
    assert data.references(everything) == [row.summary for row in rows]


@pytest.mark.parametrize("suffix", [".json", ".parquet"])
@given(rows=ROWS, part=st.floats(0, 1))
def test_a_file_that_is_cut_off_is_refused(folder: Path, suffix: str, rows: list[Row], part: float) -> None:
    path = write(folder / f"cut{suffix}", rows)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * (len(whole) - 1))])
    with pytest.raises(UserError):
        Dataset.load(path)


@given(data=st.binary(max_size=200) | st.sampled_from([b"[", b"PAR1", b"[{}]", b'[{"tok_input": [1]}]']))
def test_anything_else_is_refused_in_one_line(folder: Path, data: bytes) -> None:
    path = folder / "anything"
    path.write_bytes(data)
    try:
        Dataset.load(path)
    except UserError as error:
        assert "\n" not in str(error)
