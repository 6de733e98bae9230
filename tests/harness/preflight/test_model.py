"""Model folders: complete ones pass, each way to be broken is named."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.preflight.base import Status
from harness.preflight.model import ModelFiles, ModelIdentity, ModelTokenizer
from harness.preflight.model_files import read_folder
from tests.harness.preflight.fakes import make, model_folder, safetensors, tokenizer_file

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def without_weights(folder: Path) -> None:
    for name in (FIRST, SECOND, INDEX):
        (folder / name).unlink()


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json cannot be read"),
    "config is no object": (lambda f: (f / "config.json").write_text("[]"), "config.json cannot be read"),
    "no weights": (without_weights, "no weights"),
    "shard missing": (lambda f: (f / SECOND).unlink(), f"{SECOND} is missing"),
    "shard cut": (lambda f: cut(f / FIRST), "its header says"),
    "shard empty": (lambda f: (f / FIRST).write_bytes(b""), "truncated"),
    "shard is text": (lambda f: (f / FIRST).write_bytes(b"<html>not found</html>"), "truncated or not a safetensors"),
    "header broken": (lambda f: (f / FIRST).write_bytes(b"\x02" + bytes(7) + b"{["), "broken header"),
    "LFS pointer": (lambda f: (f / FIRST).write_text("version https://git-lfs"), "Git LFS pointer"),
    "index broken": (lambda f: (f / INDEX).write_text("{}"), "cannot be read"),
    "tensor missing": (lambda f: safetensors(f / FIRST, ["a"]), "1 tensors"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_found(name: str, tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    assert ModelFiles().run(make(model__path=str(folder))).status is Status.PASS
    spoil, text = BROKEN[name]
    spoil(folder)
    finding = ModelFiles().run(make(model__path=str(folder)))
    assert finding.status is Status.FAIL
    assert text in "\n".join((finding.found, *finding.details))


@pytest.mark.parametrize(("engine", "status"), [("transformers", Status.WARN), ("vllm", Status.FAIL)])
def test_an_index_that_merging_left_behind(engine: str, status: Status, tmp_path: Path) -> None:
    """transformers reads the one file; vLLM takes only files that the index names."""
    folder = model_folder(tmp_path / "model")
    for shard in (FIRST, SECOND):
        (folder / shard).unlink()
    safetensors(folder / "model.safetensors", ["a", "b", "c"])
    finding = ModelFiles().run(make(model__path=str(folder), engine__name=engine))
    assert finding.status is status
    assert f"names {FIRST}, which is not there, beside model.safetensors" in finding.found
    cut(folder / "model.safetensors")
    assert ModelFiles().run(make(model__path=str(folder), engine__name=engine)).status is Status.FAIL


def test_what_a_complete_folder_says(tmp_path: Path) -> None:
    folder = read_folder(model_folder(tmp_path))
    assert folder.problems == []
    assert (folder.vocab_size, folder.max_position_embeddings, folder.shards) == (128256, 131072, 2)
    assert folder.weight_bytes == sum(p.stat().st_size for p in tmp_path.glob("*.safetensors"))
    assert not folder.quantized


def test_the_fingerprint_tells_copies_from_others(tmp_path: Path) -> None:
    one, two = model_folder(tmp_path / "one"), model_folder(tmp_path / "two")
    assert read_folder(one).fingerprint == read_folder(two).fingerprint
    data = bytearray((two / SECOND).read_bytes())
    data[-1] ^= 1
    (two / SECOND).write_bytes(data)
    assert read_folder(one).fingerprint != read_folder(two).fingerprint


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert ModelFiles().run(make(model__path=str(tmp_path / "none"))).status is Status.FAIL


def test_a_hub_id_that_is_not_here_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    finding = ModelFiles().run(make(model__path="no-organisation/no-such-model"))
    assert (finding.status, "hf download" in finding.advice) == (Status.WARN, True)


def test_the_demo_model_may_be_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLPERF_LLAMA_HOME", str(tmp_path))
    assert ModelFiles().run(make()).status is Status.WARN


def test_no_weights_are_needed_for_dummy_ones(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    without_weights(folder)
    context = make(model__path=str(folder), engine__name="vllm", engine__args={"load_format": "dummy"})
    assert ModelFiles().run(context).status is Status.PASS
    assert ModelFiles().run(make(model__path="shape:llama-3.1-8b", engine__name="vllm")).status is Status.PASS


def test_the_null_engine_has_no_model() -> None:
    assert ModelFiles().run(make(engine__name="null")).status is Status.PASS


def test_identity(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "llama")
    known = make(model__path=str(folder), model__revision="be673f326cab4cd22ccfef76109faf68e41aa5f1")
    finding = ModelIdentity().run(known)
    assert (finding.status, finding.blocks_submission) == (Status.PASS, False), finding
    assert known.facts["model"]["revision"].startswith("be673f326cab")
    assert "unknown" in ModelIdentity().run(make(model__path=str(folder))).found
    other = ModelIdentity().run(make(model__path=str(folder), model__revision="0" * 40))
    assert (other.status, other.blocks_submission) == (Status.WARN, False)
    small = model_folder(tmp_path / "small", num_hidden_layers=16)
    wrong = ModelIdentity().run(make(model__path=str(small)))
    assert (wrong.status, wrong.blocks_submission) == (Status.WARN, True)


@pytest.mark.parametrize(("vocabulary", "status"), [(300, "pass"), (310, "pass"), (299, "fail"), (1000, "fail")])
def test_the_tokenizer_has_the_models_vocabulary(vocabulary: int, status: str, tmp_path: Path) -> None:
    folder = model_folder(tmp_path, vocab_size=vocabulary)
    tokenizer_file(folder, words=300)
    assert ModelTokenizer().run(make(model__path=str(folder))).status == status


def test_a_tokenizer_from_elsewhere(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model", vocab_size=300)
    assert ModelTokenizer().run(make(model__path=str(folder))).status is Status.WARN
    tokenizer_file(tmp_path / "other")
    context = make(model__path=str(folder), model__tokenizer=str(tmp_path / "other"))
    assert ModelTokenizer().run(context).status is Status.PASS


def test_what_scores_is_loaded_before_an_accuracy_run(tmp_path: Path) -> None:
    """Meta's tokenizer.model, without tokenizer.json; one that cannot be loaded fails here, not after the run."""
    pytest.importorskip("tiktoken")
    folder = model_folder(tmp_path / "model", vocab_size=512)
    context = make(model__path=str(folder), mode="accuracy")
    pieces = [base64.b64encode(bytes([i])) + b" %d\n" % i for i in range(256)]
    (folder / "tokenizer.model").write_bytes(b"".join(pieces))
    finding = ModelTokenizer().run(context)
    assert (finding.status, finding.found) == (Status.PASS, "there, and loads")
    (tmp_path / "notes.txt").write_text("hello there\n")
    context = make(model__path=str(folder), mode="accuracy", model__tokenizer=str(tmp_path / "notes.txt"))
    finding = ModelTokenizer().run(context)
    assert finding.status is Status.FAIL and "cannot be loaded to score with" in finding.found
    given = make(model__path=str(folder), mode="accuracy", model__tokenizer=str(tmp_path / "one" / "tokenizer.model"))
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "tokenizer.model").write_bytes(b"".join(pieces))
    assert ModelTokenizer().run(given).status is Status.PASS


def test_a_broken_config_breaks_nothing_else(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    (folder / "config.json").write_text(json.dumps({"vocab_size": "many"}))
    assert ModelTokenizer().run(make(model__path=str(folder))).status is Status.WARN


def test_a_recorded_revision_is_known(tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    note = folder / ".cache" / "huggingface" / "download" / "config.json.metadata"
    note.parent.mkdir(parents=True)
    note.write_text("be673f326cab4cd22ccfef76109faf68e41aa5f1\nsome-etag\n1.0\n")
    assert ModelIdentity().run(make(model__path=str(folder))).status is Status.PASS


def test_half_a_hub_model_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model_folder(tmp_path)
    (folder / SECOND).unlink()
    monkeypatch.setattr("harness.preflight.sources.hub_copy", lambda name, revision: folder)
    finding = ModelFiles().run(make(model__path="organisation/model"))
    assert (finding.status, "only a part" in finding.found) == (Status.WARN, True)
