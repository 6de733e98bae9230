"""Text piece by piece, stop strings, templates and bodies, without a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.serve.detokenise import ByteText, Detokeniser, ForeignText
from harness.serve.fields import Message, Part
from harness.serve.problems import Problem
from harness.serve.stopping import StopStrings
from harness.serve.templates import PLAIN, Templates
from mlperf_llama_base.errors import UserError
from tests.harness.serve import tokenizers

TEXTS = ("Grüße 🦙🦙 世界", "plain", "\x00\x7f é e\u0301 🏳️‍🌈", "a  b \n\n c")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tokenizers.make(tmp_path_factory.mktemp("tokenizer"))


def packed(ids: list[int]) -> bytes:
    return np.array(ids, "<i4").tobytes()


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("step", [1, 2, 5])
def test_the_pieces_are_the_whole_and_no_character_is_halved(tokenizer: Any, text: str, step: int) -> None:
    ids = tokenizer(text)["input_ids"] + [tokenizer.eos_token_id]
    detokeniser = Detokeniser(tokenizer, vocab_size=500)
    for new in (detokeniser.new(), ForeignText(detokeniser._whole)):
        pieces = [new.feed(packed(ids[i : i + step]), last=i + step >= len(ids)) for i in range(0, len(ids), step)]
        assert "".join(pieces) == text == detokeniser._whole(ids)
        assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


@given(st.lists(st.one_of(st.sampled_from(TEXTS), st.text(max_size=6)), max_size=8), st.integers(1, 3))
def test_what_was_written_as_json_once_is_the_same_text_again(tokenizer: Any, texts: list[str], step: int) -> None:
    """Answers share what their tokens look like; whatever came before, none may get another's half of a character."""
    detokeniser = Detokeniser(tokenizer, vocab_size=500)
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        cut = [*ids[1:], *ids[:1]]  # begins and ends anywhere, also within a character
        for answer in (ids, cut):
            as_text, as_json = detokeniser.new(), detokeniser.new()
            for i in range(0, len(answer), step):
                piece = packed(answer[i : i + step])
                assert json.loads(as_json.feed_json(piece)) == as_text.feed(piece, last=False)
            assert as_json.feed(b"", last=True) == as_text.feed(b"", last=True)


def test_a_token_costs_the_same_wherever_it_stands(tokenizer: Any) -> None:
    """Tokenizers that are decoded by their own library are not given the whole answer again for each token."""
    decoded = 0

    def decode(ids: list[int]) -> str:
        nonlocal decoded
        decoded += len(ids)
        return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    ids = tokenizer(TEXTS[0] * 50)["input_ids"]
    text = ForeignText(decode)
    pieces = [text.feed(packed([number]), last=at == len(ids)) for at, number in enumerate(ids, 1)]
    assert "".join(pieces) == TEXTS[0] * 50 and len(ids) > 500
    assert decoded < 20 * len(ids)


def test_a_tokenizer_that_marks_words_keeps_its_spaces(tmp_path: Path) -> None:
    """SentencePiece's kind, Llama 2's: a space belongs to the word after it, and the first one of a text is dropped."""
    detokeniser = Detokeniser(tokenizers.of_words(tmp_path), vocab_size=None)
    assert detokeniser.pieces is None
    ids = detokeniser._tokenizer("the bank and 世 the road")["input_ids"]
    whole = detokeniser._whole(ids)
    assert whole == "the bank and 世 the road"
    for step in (1, 2, 5):
        text = detokeniser.new()
        pieces = [text.feed(packed(ids[i : i + step]), last=i + step >= len(ids)) for i in range(0, len(ids), step)]
        assert "".join(pieces) == whole and not any("\N{REPLACEMENT CHARACTER}" in piece for piece in pieces)


@given(st.data())
def test_any_ids_decode_piece_by_piece_as_at_once(tokenizer: Any, data: st.DataObject) -> None:
    detokeniser = Detokeniser(tokenizer, vocab_size=None)
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=30))
    text = detokeniser.new()
    assert isinstance(text, ByteText)
    pieces = [text.feed(packed([i]), last=False) for i in ids]
    assert "".join(pieces) + text.feed(b"", last=True) == detokeniser._whole(ids)


def test_ids_beyond_the_tokenizer_have_no_text(tokenizer: Any) -> None:
    assert Detokeniser(tokenizer, vocab_size=1000).new().feed(packed([999, 5]), last=True) != ""


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3), st.data())
def test_a_stop_string_cuts_where_it_first_appears(text: str, stops: list[str], data: st.DataObject) -> None:
    stopping = StopStrings(stops)
    shown, at = "", 0
    while at < len(text) and not stopping.found:
        step = data.draw(st.integers(1, 5))
        shown += stopping.feed(text[at : at + step], last=at + step >= len(text))
        at += step
    ends = [i + len(stop) for stop in stops if (i := text.find(stop)) >= 0]
    assert stopping.found == bool(ends)
    if not ends:
        assert shown == text
    else:
        assert text.startswith(shown) and any(text[len(shown) :].startswith(stop) for stop in stops)


def test_llama_31s_own_template_and_the_plain_one(tokenizer: Any) -> None:
    turns = [Message("system", " Be brief. "), Message("user", [Part("text", " Hi"), Part("text", "! ")])]
    text = Templates(tokenizer, "llama-3.1").prompt(turns, None)
    assert text == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n"
        "Today Date: 26 Jul 2024\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi!<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    plain = Templates(tokenizer, "plain")
    assert plain.prompt(turns, None) == plain.prompt(turns, PLAIN) == "<|begin_of_text|>Be brief.Hi!"
    assert Templates(tokenizer, "auto").choice == "model"
    for wrong in (Message("tool", "x"), Message("user", [Part("image_url")]), Message("assistant", "x", [{"id": "1"}])):
        with pytest.raises(Problem) as refused:
            plain.prompt([wrong], None)
        assert refused.value.param == "messages"


def test_a_tokenizer_without_a_template_of_its_own(tmp_path: Path) -> None:
    bare = tokenizers.make(tmp_path, template=None)
    assert Templates(bare, "auto").choice == "llama-3.1"
    with pytest.raises(UserError, match="has no chat template; use plain"):
        Templates(bare, "model")
