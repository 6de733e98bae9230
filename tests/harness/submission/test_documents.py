"""The texts that go with a result."""

from __future__ import annotations

from types import SimpleNamespace

from harness.rundir.session import Engine
from harness.submission import documents
from harness.submission.calibration import section


def test_other_rows_of_the_bandwidth_table_stay_and_our_own_are_replaced() -> None:
    ours, theirs = ("a", "Offline"), ("b", "Server")
    before = documents.bandwidth(
        {ours: "| a | Offline | 1.00 | 0.008 MB/s | eth |", theirs: "| b | Server | 2 | x | y |"}
    )
    rows = documents.read_bandwidth(before + "| a line that somebody added\n")
    assert list(rows) == [ours, theirs]
    rows |= {ours: "| a | Offline | 9.00 | 0.074 MB/s | eth |"}
    after = documents.bandwidth(rows)
    assert "9.00" in after and "1.00" not in after and theirs in documents.read_bandwidth(after)
    assert documents.read_bandwidth("") == {}


def test_what_the_last_layer_leaves_out_is_said() -> None:
    def written(**facts: str) -> str:
        engine = Engine(name="vllm", version="0.26.0", weight_dtype="bfloat16", kv_cache_dtype="bfloat16", facts=facts)
        run = SimpleNamespace(name="offline", result=SimpleNamespace(engine=engine, model=None))
        return section("SUT", [run])  # type: ignore[list-item]

    assert "dead code elimination" in written(last_layer="needed")
    assert "not computed" not in written(last_layer="all")
