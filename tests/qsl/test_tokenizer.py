"""A tokenizer comes from a folder or from Meta's tiktoken file; anything else is explained."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from mlperf_llama_base.errors import EnvironmentFault, UserError
from qsl.tokenizer import load_tokenizer

MERGES = [b"th", b"the", b" the", b"ar", b"arb", b"our"]


@pytest.fixture
def tiktoken_file(tmp_path: Path) -> Path:
    pytest.importorskip("tiktoken")
    pieces = [bytes([i]) for i in range(256)] + MERGES
    path = tmp_path / "tokenizer.model"
    path.write_bytes(b"".join(base64.b64encode(piece) + b" %d\n" % rank for rank, piece in enumerate(pieces)))
    return path


def test_folder(tokenizer_dir: Path) -> None:
    tokenizer = load_tokenizer(str(tokenizer_dir))
    assert tokenizer.decode(tokenizer("harbour")["input_ids"], skip_special_tokens=True) == "harbour"


def test_tiktoken_file_or_its_folder(tiktoken_file: Path) -> None:
    for name in (tiktoken_file, tiktoken_file.parent):
        tokenizer = load_tokenizer(str(name))
        first_special = 256 + len(MERGES)
        assert len(tokenizer) == first_special + 256
        assert tokenizer.bos_token_id == first_special
        assert tokenizer.eos_token_id == first_special + 9
        assert tokenizer.convert_tokens_to_ids("<|reserved_special_token_247|>") == first_special + 255
        assert tokenizer("the")["input_ids"] == [first_special, 257]
        assert tokenizer("the the")["input_ids"] == [first_special, 257, 258]
        assert tokenizer.decode(tokenizer("é “the”")["input_ids"], skip_special_tokens=True) == "é “the”"


def test_piece_that_is_a_token_stays_whole(tiktoken_file: Path) -> None:
    """No merge path leads to " arb" + "our" of "arbour", but "our" as a piece of its own is one token."""
    assert load_tokenizer(str(tiktoken_file))("our", add_special_tokens=False)["input_ids"] == [256 + 5]


def test_what_holds_none(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello there\n")
    (tmp_path / "binary.model").write_bytes(b"\x0a\x0e\x0a\x05<unk>")
    for name in ("notes.txt", "binary.model"):
        with pytest.raises(UserError, match=r"not a tokenizer\.model in tiktoken format"):
            load_tokenizer(str(tmp_path / name))
    with pytest.raises(UserError, match="no such folder"):
        load_tokenizer(str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"needs tokenizer\.json"):
        load_tokenizer(str(tmp_path))


def test_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    def gated(*_: Any, **__: Any) -> Any:
        raise OSError("You are trying to access a gated repo.\nMore.")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", gated)
    with pytest.raises(EnvironmentFault, match=r"gated repo\.\); give a local folder"):
        load_tokenizer("meta-llama/Llama-3.1-8B-Instruct")
