"""The parsers of LoadGen's files on any input: the whole is read back, what is damaged never passes for whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.loadgen.accuracy_log import read_accuracy_log
from harness.loadgen.conf_keys import KEYS
from harness.loadgen.conf_parser import parse
from harness.loadgen.log import PREFIX, parse_detail
from harness.loadgen.summary import parse_summary
from mlperf_llama_base.errors import UserError

IDS = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=12)
LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40), max_size=8)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("log") / "file"


@given(st.binary(max_size=200) | LINES.map(lambda lines: "\n".join(lines).encode()))
def test_any_user_conf_is_parsed(data: bytes) -> None:
    conf = parse(data)
    lines = data.count(b"\n") + 1
    numbers = [a.line for a in conf.assignments] + [line for line, _ in (*conf.errors, *conf.ignored)]
    assert all(1 <= number <= lines for number in numbers)


@given(
    st.dictionaries(st.sampled_from(sorted(key.name for key in KEYS)), st.integers(0, 2**63 - 1), min_size=1),
    st.sampled_from(["", " ", "\t "]),
    st.sampled_from(["\n", "\n\n", "\n# a comment\n"]),
)
def test_a_proper_user_conf_is_read_whole(values: dict[str, int], indent: str, between: str) -> None:
    text = between.join(f"{indent}*.Server.{name} = {value}" for name, value in values.items())
    conf = parse(text.encode())
    assert not conf.errors and not conf.ignored
    for name, value in values.items():
        found = conf.lookup(model="llama3_1-8b", scenario="Server", name=name)
        assert found and int(found.value) == value


@given(st.binary(max_size=300) | LINES.map(lambda lines: "\n".join(PREFIX + line for line in lines).encode()))
def test_any_logs_are_read_and_no_line_is_lost(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    log = parse_detail(path)
    with path.open(encoding="utf-8", errors="replace") as file:
        written = sum(1 for line in file if line.strip())
    assert log.lines + len(log.damaged) == written
    parse_summary(path)


@given(st.dictionaries(st.text(min_size=1), SCALARS, max_size=6))
def test_a_detail_log_is_read_back(path: Path, values: dict[str, object]) -> None:
    metadata = {"is_error": False, "is_warning": False}
    values.pop("generic_message", None)
    path.write_text(
        "".join(
            PREFIX + json.dumps({"key": key, "value": value, "metadata": metadata}) + "\n"
            for key, value in values.items()
        )
    )
    log = parse_detail(path)
    assert (log.values, log.damaged, log.errors, log.repeated) == (values, [], [], [])


def accuracy_log(samples: list[list[int]], *, indent: int | None, width: int) -> str:
    rows = [
        {
            "seq_id": i,
            "qsl_idx": i,
            "data": np.array(ids, f"<i{width}").tobytes().hex().upper(),
            "token_count": len(ids),
        }
        for i, ids in enumerate(samples)
    ]
    if indent is None:  # as LoadGen writes it
        return "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n"
    return json.dumps(rows, indent=indent or None)


@given(st.lists(IDS, min_size=1, max_size=5), st.sampled_from([None, 0, 4]), st.sampled_from([4, 8]), st.floats(0, 1))
def test_an_accuracy_log_is_read_whole_or_refused(
    path: Path, samples: list[list[int]], indent: int | None, width: int, part: float
) -> None:
    text = accuracy_log(samples, indent=indent, width=width)
    path.write_text(text)
    read = read_accuracy_log(path)
    assert [ids.tolist() for ids in read.tokens] == samples
    path.write_text(text[: int(part * len(text.rstrip()))].rstrip("]"))
    with pytest.raises(UserError):
        read_accuracy_log(path)


@given(st.binary(max_size=200))
def test_an_accuracy_log_of_anything_is_refused_in_one_line(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        read_accuracy_log(path)
    except UserError as error:
        assert "\n" not in str(error)
