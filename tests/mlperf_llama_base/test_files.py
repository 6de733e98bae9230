"""A file is replaced whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlperf_llama_base.errors import EnvironmentFault
from mlperf_llama_base.files import expanded, replacing, write_whole
from tests.helpers.nobody import without_home


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    write_whole(path, b"old")
    with replacing(path) as scratch:
        scratch.write_bytes(b"new")
        assert path.read_bytes() == b"old"
        assert scratch.suffix == ".parquet"
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["events.parquet"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    write_whole(path, b"old")
    with pytest.raises(OSError, match="full"), replacing(path) as scratch:
        scratch.write_bytes(b"half")
        raise OSError("full")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "x"):
        pass


def test_a_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    without_home(monkeypatch)
    assert expanded("models/llama") == Path("models/llama")
    with pytest.raises(EnvironmentFault, match=r"~/models: .*HOME is not set"):
        expanded("~/models")
