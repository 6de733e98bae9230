"""The texts that go with a result."""

from __future__ import annotations

from types import SimpleNamespace

from harness.inventory.calibration import CalibrationData, CalibrationRecord, Compared, Recipe, SourceModel
from harness.rundir.session import Engine, Model
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


def test_a_calibrated_model_says_on_what_and_how() -> None:
    record = CalibrationRecord(
        made="2026-11-26T12:00:00+00:00",
        model=SourceModel(path="meta-llama/x", digest="d", revision="0e9e39f", is_llama_3_1_8b=True),
        data=CalibrationData(
            file="cnn_dailymail_calibration.json",
            sha256="abc123",
            format="mlcommons-json",
            label="cnn_dailymail_calibration",
            rows=1000,
            file_rows=1000,
            tokens=987654,
        ),
        recipe=Recipe(
            scheme="fp8",
            weights="fp8 (e4m3), one scale a tensor",
            activations="fp8 (e4m3), static",
            kv_cache="fp8 (e4m3), static",
            last_layer="as published",
            method="rounded to the nearest",
        ),
        scales={"weight_scale": 224, "k_scale": 32},
        compared=Compared(file="cnn_eval.json", sha256="def456", rows=13368),
        versions={"llmcompressor": "0.14.0.1"},
        device="cuda:0",
        seconds=100.0,
    )
    facts = {"quantization": {"method": "compressed-tensors", "from_checkpoint": True, "activation_scheme": "static"}}
    engine = Engine(name="vllm", version="0.26.0", weight_dtype="fp8", kv_cache_dtype="fp8", facts=facts)
    model = Model(path="/srv/llama-fp8", is_llama_3_1_8b=True, revision="0e9e39f", calibration=record)
    run = SimpleNamespace(name="offline", result=SimpleNamespace(engine=engine, model=model))
    text = section("SUT", [run])  # type: ignore[list-item]
    assert "| cnn_dailymail_calibration.json: 1,000 rows, 987,654 tokens, sha256 abc123; none is" in text
    assert "among the 13,368 rows of the evaluation set cnn_eval.json (sha256 def456) |" in text
    assert "| calibration: scales | 224 weight_scale, 32 k_scale |" in text
    assert "| calibration: made by | llmcompressor 0.14.0.1 |" in text
    assert "tree/0e9e39f |" in text and "/srv" not in text
