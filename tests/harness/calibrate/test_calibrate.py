"""A small Llama calibrated by the real llm-compressor, looked at, and run."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from harness.calibrate.compressor import LOG
from harness.cli.calibrate import calibrate
from harness.inventory.calibration import FILE, read_calibration
from harness.inventory.model import inspect_model
from mlperf_llama_base.errors import EnvironmentFault, UserError
from sut.engines.quantized import activation_scheme, weight_format
from sut.messages import Completion, EngineSettings, Request
from tests.helpers.llama import write_llama
from tests.helpers.rows import rows, write_rows

HERE = importlib.util.find_spec("llmcompressor") is not None
VOCABULARY, LAYERS = 512, 2
app = typer.Typer()
app.command()(calibrate)


def needs_compressor(test: Any) -> Any:
    reason = "llm-compressor is not installed here (scripts/test.sh uses an environment of its own)"
    marked = pytest.mark.calibrate(pytest.mark.timeout(300)(test))
    return pytest.mark.skipif(not HERE, reason=reason)(marked)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    write_llama(folder, vocab_size=VOCABULARY, max_position_embeddings=256, tie_word_embeddings=True)
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "calibration.json", rows(6))


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def answer(folder: Path, prompt: list[int]) -> tuple[Any, list[int]]:
    """What the engine says of itself, and its answer."""
    from sut.engines.transformers import TransformersEngine

    engine = TransformersEngine(EngineSettings(name="transformers", model=str(folder), max_new_tokens=8))
    info = engine.load()
    engine.submit([Request(1, np.asarray(prompt, "<i4").tobytes())])
    events: list[Any] = []
    while engine.outstanding:
        events += engine.poll(0.1)
    done = next(event for event in events if isinstance(event, Completion))
    engine.close()
    return info, np.frombuffer(done.tokens, "<i4").tolist()


@needs_compressor
@pytest.mark.parametrize(
    ("scheme", "more", "weights", "activations"),
    [
        ("fp8", ["--quantize-last-layer"], "fp8", "static"),
        ("w8a8", ["--activations", "dynamic", "--kv-cache", "none"], "int8", "dynamic"),
        ("w4a16", ["--group-size", "32", "--samples", "4"], "int4", "none"),
    ],
)
def test_calibrated_and_run(
    scheme: str, more: list[str], weights: str, activations: str, model: Path, calibration: Path, tmp_path: Path
) -> None:
    evaluation = write_rows(
        tmp_path / "eval.json", [row | {"input": f"Other {i}."} for i, row in enumerate(rows(5, seed=9))]
    )
    output = tmp_path / "out"
    given = ["--model", model, "--calibration", calibration, "--evaluation", evaluation, "--output", output]
    said = call("--scheme", scheme, *given, *more, "--device", "cpu")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["eval.json", "out"]
    assert "no row shared with the 5 of eval.json" in said
    assert "it/s" not in said and (output / LOG).is_file()

    stated = json.loads((output / "config.json").read_text())["quantization_config"]
    assert (weight_format(stated), activation_scheme(stated)) == (weights, activations)
    assert ("lm_head" in stated["ignore"]) == ("--quantize-last-layer" not in more)
    record = read_calibration(output)
    assert record and record.data.rows == (4 if "--samples" in more else 6)
    assert record.data.file_rows == 6 and record.compared and record.compared.rows == 5
    products = LAYERS * 7 + ("--quantize-last-layer" in more)
    assert record.scales["weight_scale"] == products
    assert record.scales.get("input_scale", 0) == (products if activations == "static" else 0)
    assert record.scales.get("k_scale", 0) == (0 if scheme == "w8a8" else LAYERS)
    assert "llmcompressor" in record.versions and "Modifier" in record.recipe.text
    assert record.model.digest == inspect_model(model).digest
    assert (output / "tokenizer.json").read_text() == "{}"

    prompt = rows(1, seed=4)[0]["tok_input"]
    info, tokens = answer(output, prompt)
    assert info.weight_dtype == weights
    assert info.facts["quantization"]["activation_scheme"] == activations
    assert len(tokens) == 8
    if scheme == "w8a8":  # 8 bits a channel: close enough for the first token
        assert tokens[0] == answer(model, prompt)[1][0]

    with pytest.raises(UserError, match="already holds a calibrated model"):
        call("--scheme", scheme, *given)
    with pytest.raises(UserError, match="is quantised already"):
        call("--scheme", scheme, "--model", output, "--calibration", calibration, "--output", tmp_path / "again")


def test_a_dry_run_says_what_would_be_made(model: Path, calibration: Path, tmp_path: Path) -> None:
    given = ["--model", model, "--calibration", calibration, "--output", tmp_path / "out", "--dry-run"]
    said = call("--scheme", "w4a16", *given)
    assert "int4, one scale for 64 weights" in said and "GPTQ" in said and "6 rows" in said
    assert not list(tmp_path.iterdir())


def test_what_is_refused_at_once(model: Path, calibration: Path, tmp_path: Path) -> None:
    given = ["--scheme", "fp8", "--model", model, "--dry-run"]
    (tmp_path / "mine").mkdir()
    with pytest.raises(UserError, match="no calibrated model"):
        call(*given, "--calibration", calibration, "--output", tmp_path / "mine", "--overwrite")
    with pytest.raises(UserError, match="is the model itself"):
        call(*given, "--calibration", calibration, "--output", model)
    with pytest.raises(UserError, match="beyond the model's vocabulary"):
        wrong = write_rows(tmp_path / "x.json", [{"tok_input": [VOCABULARY], "input": "", "output": ""}])
        call(*given, "--calibration", wrong, "--output", tmp_path / "out")
    with pytest.raises(UserError, match="shares 7 rows"):
        copy = write_rows(tmp_path / "copy.json", [*rows(6), *rows(1)])
        call(*given, "--calibration", calibration, "--evaluation", copy, "--output", tmp_path / "out")
    with pytest.raises(UserError, match="no weights"):
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty" / "config.json").write_bytes((model / "config.json").read_bytes())
        call(*given[:2], "--model", tmp_path / "empty", "--calibration", calibration, "--output", tmp_path / "out")


@pytest.mark.skipif(HERE, reason="llm-compressor is installed here")
def test_without_llm_compressor_the_lines_that_install_it(model: Path, calibration: Path, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"pip install -c constraints-calibrate.txt '\.\[calibrate\]'"):
        call("--scheme", "fp8", "--model", model, "--calibration", calibration, "--output", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_broken_record(tmp_path: Path) -> None:
    assert read_calibration(tmp_path) is None
    (tmp_path / FILE).write_text("{")
    with pytest.raises(UserError, match="calibrated on"):
        read_calibration(tmp_path)
