"""What is said of a model from its small files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.inventory.model import ROPE_TYPE, SHAPE, inspect_model
from mlperf_llama_base.errors import EnvironmentFault, UserError
from sut.engines.eos import eos_ids

LLAMA: dict[str, Any] = {
    **SHAPE,
    "architectures": ["LlamaForCausalLM"],
    "eos_token_id": 128001,
    "rope_scaling": {"rope_type": ROPE_TYPE, "factor": 8.0},
}


def write(folder: Path, config: dict[str, Any], **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes(b"weights")
    for name, content in files.items():
        (folder / f"{name}.json").write_text(content)
    return folder


def test_llama_3_1_8b(tmp_path: Path) -> None:
    write(tmp_path, LLAMA, generation_config='{"eos_token_id": [128001, 128008, 128009]}', tokenizer="{}")
    info = inspect_model(tmp_path)
    assert (info.is_llama_3_1_8b, info.reasons) == (True, [])
    assert info.eos_token_ids == [128001, 128008, 128009]
    assert (info.vocab_size, info.max_positions) == (128256, 131072)
    assert info.has_tokenizer and info.has_weights
    assert info.revision is None


def test_newer_configs_name_the_rope_otherwise(tmp_path: Path) -> None:
    config = {key: value for key, value in LLAMA.items() if key != "rope_scaling"}
    assert inspect_model(write(tmp_path, config | {"rope_parameters": {"rope_type": ROPE_TYPE}})).is_llama_3_1_8b


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"num_hidden_layers": 16}, "num_hidden_layers is 16"),
        ({"model_type": "mistral"}, "model_type is mistral"),
        ({"rope_scaling": None}, "rope_type is default"),
        ({"max_position_embeddings": 8192}, "max_position_embeddings is 8192"),
    ],
)
def test_another_model(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    info = inspect_model(write(tmp_path, LLAMA | change))
    assert not info.is_llama_3_1_8b
    assert [word in reason for reason in info.reasons] == [True]


def test_eos_falls_back_to_the_config(tmp_path: Path) -> None:
    assert inspect_model(write(tmp_path, LLAMA)).eos_token_ids == [128001]
    assert inspect_model(write(tmp_path, LLAMA | {"eos_token_id": None})).eos_token_ids == []


@pytest.mark.parametrize("said", ["null", "[]"])
def test_a_generation_config_that_says_nothing_of_eos(said: str, tmp_path: Path) -> None:
    write(tmp_path, LLAMA, generation_config=f'{{"eos_token_id": {said}}}')
    assert inspect_model(tmp_path).eos_token_ids == [128001]
    assert eos_ids(json.loads(said), 0, model="m") == [0]  # an id like any other


@pytest.mark.parametrize("said", ['"</s>"', "[1, null]", "true", "-1", "{}", "1.5"])
def test_an_eos_that_is_no_id(said: str, tmp_path: Path) -> None:
    write(tmp_path, LLAMA, generation_config=f'{{"eos_token_id": {said}}}')
    with pytest.raises(UserError, match="neither a token id nor a list"):
        inspect_model(tmp_path)


def test_digest_follows_files_and_not_the_place(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", LLAMA), write(tmp_path / "two", LLAMA)
    assert inspect_model(one).digest == inspect_model(two).digest
    (two / "model.safetensors").write_bytes(b"more weights")
    assert inspect_model(one).digest != inspect_model(two).digest
    before = inspect_model(one).digest
    write(one, LLAMA | {"vocab_size": 5})
    assert inspect_model(one).digest != before


def test_revision_from_the_hub_cache_and_from_a_download(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    assert inspect_model(write(tmp_path / "snapshots" / commit, LLAMA)).revision == commit
    note = write(tmp_path / "local", LLAMA) / ".cache" / "huggingface" / "download" / "config.json.metadata"
    note.parent.mkdir(parents=True)
    note.write_text(f"{commit}\netag\n0\n")
    assert inspect_model(tmp_path / "local").revision == commit


def test_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        inspect_model(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]"])
def test_config_that_is_broken(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json"):
        inspect_model(tmp_path)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "nothing"])
def test_neither_a_folder_nor_a_hub_id(name: str) -> None:
    with pytest.raises(UserError, match="not a folder"):
        inspect_model(name)


def test_hub_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EnvironmentFault, match=r"cannot be reached.*no route to host"):
        inspect_model("nobody/no-such-model-here")
