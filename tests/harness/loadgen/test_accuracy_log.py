"""LoadGen's accuracy log, as LoadGen writes it, and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.loadgen.accuracy_log import read_accuracy_log, read_entries
from harness.loadgen.log import ACCURACY
from mlperf_llama_base.errors import UserError
from tests.harness.loadgen.real_runs import run_loadgen, tokens_of


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_loadgen(tmp_path_factory.mktemp("run"), mode="AccuracyOnly") / ACCURACY


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_every_sample_is_read(log: Path) -> None:
    read = read_accuracy_log(log)
    assert sorted(read.qsl_idx.tolist()) == list(range(64))
    assert all(ids.tolist() == tokens_of(i) for i, ids in zip(read.qsl_idx.tolist(), read.tokens, strict=True))
    assert read.repeated == 0


def test_first_tokens_of_a_server_run(tmp_path: Path) -> None:
    run = run_loadgen(tmp_path, mode="AccuracyOnly", scenario="Server", attributes={"server_target_qps": 3000})
    for entry in read_entries(run / ACCURACY):
        assert entry.token_data is not None and entry.data.startswith(entry.token_data)
        assert entry.token_count == len(entry.data) // 8


def test_one_line_of_json_is_read_too(log: Path, tmp_path: Path) -> None:
    flat = write(tmp_path / "log.json", log.read_text().replace("\n", ""))
    assert read_accuracy_log(flat).qsl_idx.tolist() == read_accuracy_log(log).qsl_idx.tolist()


def test_an_indented_log_is_whole(log: Path, tmp_path: Path) -> None:
    entries = json.loads(log.read_text())
    indented = write(tmp_path / "log.json", json.dumps(entries, indent=4))
    assert read_accuracy_log(indented).qsl_idx.tolist() == read_accuracy_log(log).qsl_idx.tolist()
    with pytest.raises(UserError, match="is cut off in the middle"):
        read_accuracy_log(write(tmp_path / "cut.json", indented.read_text()[:-30]))


def test_64_bit_ids_are_recognised_by_their_count(log: Path, tmp_path: Path) -> None:
    """As logged by a harness that follows the reference's default ``--dtype int64``."""
    entries = json.loads(log.read_text())
    for entry in entries:
        ids = np.frombuffer(bytes.fromhex(entry["data"]), "<i4")
        entry |= {"data": ids.astype("<i8").tobytes().hex().upper(), "token_count": len(ids)}
    wide = read_accuracy_log(write(tmp_path / "wide.json", json.dumps(entries)))
    assert [ids.tolist() for ids in wide.tokens] == [tokens_of(i) for i in wide.qsl_idx.tolist()]
    entries[3]["data"] = "FF" * (len(entries[3]["data"]) // 2)
    with pytest.raises(UserError, match="64-bit values that are not token ids"):
        read_accuracy_log(write(tmp_path / "bad.json", json.dumps(entries)))


def test_the_first_of_repeated_samples_counts(log: Path, tmp_path: Path) -> None:
    lines = log.read_text().splitlines()
    again = lines[1].replace('"data" : "', '"data" : "FFFFFF00')
    lines.insert(5, again)
    read = read_accuracy_log(write(tmp_path / "log.json", "\n".join(lines)))
    assert (read.repeated, len(read.tokens)) == (1, 64)
    assert read.tokens[0].tolist() == tokens_of(int(read.qsl_idx[0]))


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.999])
def test_a_cut_log_says_so(log: Path, tmp_path: Path, part: float, flat: bool) -> None:
    text = log.read_text().replace("\n", "" if flat else "\n")
    cut = write(tmp_path / "log.json", text[: int(len(text) * part)])
    with pytest.raises(UserError, match="is cut off in the middle"):
        read_accuracy_log(cut)


@pytest.mark.parametrize("lines", [1, 10, 64])
def test_a_log_cut_between_samples_says_so(log: Path, tmp_path: Path, lines: int) -> None:
    cut = write(tmp_path / "log.json", "\n".join(log.read_text().splitlines()[: lines + 1]))
    with pytest.raises(UserError, match=f"is cut off after {lines} complete samples"):
        read_accuracy_log(cut)


def test_the_truncation_tools_output_is_told_apart(log: Path, tmp_path: Path) -> None:
    text = log.read_text()
    short = write(tmp_path / "log.json", text[:4096] + "\n\n...\n\n" + text[-4096:])
    with pytest.raises(UserError, match="shortened by the submission's truncation tool"):
        read_accuracy_log(short)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ('[\n{ "qsl_idx" : 1 }\n]\n', "is not LoadGen's: line 2"),
        ('{"results": []}', "is not LoadGen's"),
        ('[\n{ "seq_id" : 0, "qsl_idx" : 1, "data" : "XY" }\n]\n', "sample 1: data is not hexadecimal"),
        ('[\n{ "seq_id" : 0, "qsl_idx" : 1, "data" : "0102" }\n]\n', "sample 1: 2 bytes are not a list of int32"),
        ("[\n]\n[\n]\n", "follows the end of the list"),
    ],
)
def test_what_is_no_accuracy_log_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_accuracy_log(write(tmp_path / "log.json", text))
    assert "\n" not in str(caught.value)


def test_a_missing_log(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_accuracy_log(tmp_path / ACCURACY)
