"""Shortening as the rules want it, without ever losing the complete log."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from harness.submission.accuracy_truncation import is_truncated, truncate
from mlperf_llama_base.errors import UserError

SCORES = "{'rouge1': '38.8', 'gen_len': 8167644}\n"


@pytest.fixture
def accuracy(tmp_path: Path) -> Path:
    directory = tmp_path / "accuracy"
    directory.mkdir()
    lines = ",\n".join(
        f'{{ "seq_id" : {i}, "qsl_idx" : {i}, "data" : "{i:08X}", "token_count" : 1 }}' for i in range(999)
    )
    (directory / "mlperf_log_accuracy.json").write_text(f"[\n{lines}\n]\n")
    (directory / "accuracy.txt").write_text(SCORES)
    return directory


def test_both_ends_stay_and_the_hash_is_that_of_the_whole(accuracy: Path, tmp_path: Path) -> None:
    log, backup = accuracy / "mlperf_log_accuracy.json", tmp_path / "safe" / "x" / "log.json"
    whole = log.read_bytes()
    digest = truncate(accuracy, backup=backup)
    assert digest == hashlib.sha256(whole).hexdigest()
    assert backup.read_bytes() == whole
    assert log.read_bytes() == whole[:4096] + b"\n\n...\n\n" + whole[-4096:]
    assert is_truncated(log) and not is_truncated(backup)
    assert (accuracy / "accuracy.txt").read_text() == f"{SCORES}\nhash={digest}\n"


def test_an_old_hash_is_replaced(accuracy: Path, tmp_path: Path) -> None:
    (accuracy / "accuracy.txt").write_text(f"{SCORES}\nhash=abc\n")
    digest = truncate(accuracy, backup=tmp_path / "log.json")
    assert (accuracy / "accuracy.txt").read_text() == f"{SCORES}\nhash={digest}\n"


def test_twice_is_refused(accuracy: Path, tmp_path: Path) -> None:
    truncate(accuracy, backup=tmp_path / "log.json")
    with pytest.raises(UserError, match="shortened before"):
        truncate(accuracy, backup=tmp_path / "other.json")


def test_a_backup_of_another_log_is_never_overwritten(accuracy: Path, tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text("precious")
    with pytest.raises(UserError, match="backup of another log"):
        truncate(accuracy, backup=tmp_path / "log.json")
    assert (tmp_path / "log.json").read_text() == "precious"
    assert (accuracy / "accuracy.txt").read_text() == SCORES


def test_an_unscored_run_is_refused(accuracy: Path, tmp_path: Path) -> None:
    (accuracy / "accuracy.txt").unlink()
    with pytest.raises(UserError, match="score the accuracy run first"):
        truncate(accuracy, backup=tmp_path / "log.json")


def test_a_log_under_4_kib_stays_whole(accuracy: Path, tmp_path: Path) -> None:
    log = accuracy / "mlperf_log_accuracy.json"
    log.write_text('[\n{ "seq_id" : 0 }\n]\n')
    truncate(accuracy, backup=tmp_path / "log.json")
    assert log.read_text() == '[\n{ "seq_id" : 0 }\n]\n'
