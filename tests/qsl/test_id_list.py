"""Rows by a list of ids: MLCommons' calibration set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlperf_llama_base.errors import UserError
from qsl import prompt
from qsl.articles import open_source
from qsl.id_list import IdList
from qsl.tokenizer import load_tokenizer
from tests.harness.cli.test_data import call

ROWS = [{"id": f"{i:040x}", "article": f"Article {i} is “short”.", "highlights": f"Summary {i}."} for i in range(9)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def listed(tmp_path: Path, *numbers: int) -> Path:
    path = tmp_path / "calibration-list.txt"
    path.write_text("\n".join(f"{i:040x}" for i in numbers) + "\n\n")
    return path


def test_rows_come_in_the_order_of_the_list(source: Path, tmp_path: Path) -> None:
    ids = IdList.read(listed(tmp_path, 7, 2, 7))
    found = open_source(str(source), ids=ids)
    assert [article.text for article in found.articles] == [ROWS[i]["article"] for i in (7, 2, 7)]
    assert found.total == 3
    assert found.label == f"train.jsonl, 3 rows of calibration-list.txt (sha256 {ids.sha256[:12]})"


def test_the_file_is_the_references_byte_for_byte(source: Path, tokenizer_dir: Path, tmp_path: Path) -> None:
    """mlcommons/inference, language/llama3.1-8b/prepare-calibration.py: json.dump with indent 4, instruction a text."""
    output = tmp_path / "cnn_dailymail_calibration.json"
    call("prepare", "-o", output, "--tokenizer", tokenizer_dir, "--source", source, "--ids", listed(tmp_path, 5, 1))
    tokenizer = load_tokenizer(str(tokenizer_dir))
    wanted = [
        {
            "instruction": prompt.TEMPLATE,
            "input": ROWS[i]["article"],
            "tok_input": tokenizer.encode(prompt.TEMPLATE.format(input=ROWS[i]["article"])),
            "output": ROWS[i]["highlights"],
        }
        for i in (5, 1)
    ]
    assert output.read_text() == json.dumps(wanted, indent=4, ensure_ascii=False)


def test_what_is_wrong_with_a_list(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"lacks 2 of the 3 ids .*\(first: 0+63\).*--split train"):
        list(open_source(str(source), ids=IdList.read(listed(tmp_path, 1, 99, 100))).articles)
    with pytest.raises(UserError, match=r"no column 'key'.*id, article, highlights.*--id-column"):
        list(open_source(str(source), ids=IdList.read(listed(tmp_path, 1)), id_column="key").articles)
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(UserError, match="is empty"):
        IdList.read(tmp_path / "empty.txt")
    with pytest.raises(UserError, match="cannot be read"):
        IdList.read(tmp_path / "none.txt")
    with pytest.raises(UserError, match="one of the two"):
        call("prepare", "-o", tmp_path / "x.json", "--tokenizer", "x", "--ids", tmp_path / "none.txt", "--count", 2)
