"""From token ids to text, piece by piece: no half of a character leaves, and the pieces joined are the whole text.

Llama 3 and its kin encode bytes: a token is a few of them, so decoding is one look-up a token and Python's incremental
UTF-8 decoder, which keeps what is not a whole character yet. Other tokenizers are decoded by their own library.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from codecs import utf_8_decode
from collections.abc import Callable
from typing import Any

import msgspec

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_as_json = msgspec.json.encode


class Text(ABC):
    """The text of one answer as it grows."""

    @abstractmethod
    def feed(self, ids: bytes, *, last: bool) -> str:
        """The text that further ids (int32 LE) bring; ``last``: no more will come, so nothing is kept back."""

    def feed_json(self, ids: bytes) -> bytes:
        """The text that further ids, not the last ones, bring, as a string of JSON."""
        return _as_json(self.feed(ids, last=False))


class ByteText(Text):
    """``known``: the strings of JSON for ids that have been seen and that end with a whole character; shared."""

    __slots__ = ("_kept", "_known", "_pieces")

    def __init__(self, pieces: list[bytes], known: dict[bytes, bytes]) -> None:
        self._pieces = pieces
        self._known = known
        self._kept = b""  # the beginning of a character

    def feed(self, ids: bytes, *, last: bool) -> str:
        pieces = self._pieces
        data = self._kept + b"".join([pieces[i] for i in memoryview(ids).cast("i")])
        text, used = utf_8_decode(data, "replace", last)
        self._kept = data[used:]
        return text

    def feed_json(self, ids: bytes) -> bytes:
        if self._kept:
            return _as_json(self.feed(ids, last=False))
        shown = self._known.get(ids)
        if shown is None:
            shown = _as_json(self.feed(ids, last=False))
            if len(ids) == 4 and not self._kept:
                self._known[ids] = shown
        return shown


class ForeignText(Text):
    """Any tokenizer's. New ids are decoded together with those of the piece before (a decoder may treat the beginning
    of a text in its own way), so that a token costs the same wherever it stands. Nothing is given out while that text
    ends in what may be half a character, or while it does not begin with what was given out."""

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._given: list[str] = []
        self._before = 0  # where the ids of the last piece begin
        self._after = 0  # and where those begin whose text has not been given out

    def feed(self, ids: bytes, *, last: bool) -> str:
        self._ids += memoryview(ids).cast("i")
        known = self._decode(self._ids[self._before : self._after])
        text = self._decode(self._ids[self._before :])
        if not last and (not text.startswith(known) or text.endswith(REPLACEMENT)):
            return ""
        new = text[len(known) :]
        if last:
            whole, given = self._decode(self._ids), "".join(self._given)
            new = whole[len(given) :] if whole.startswith(given) else new
        self._before, self._after = self._after, len(self._ids)
        self._given.append(new)
        return new


class Detokeniser:
    """Makes the :class:`Text` of each answer. ``vocab_size``: of the engine, which may have more ids than the tokenizer
    (they have no text)."""

    def __init__(self, tokenizer: Any, *, vocab_size: int | None) -> None:
        self._tokenizer = tokenizer
        self.pieces = byte_pieces(tokenizer, at_least=vocab_size or 0)
        self._known: dict[bytes, bytes] = {}

    def new(self) -> Text:
        return ForeignText(self._whole) if self.pieces is None else ByteText(self.pieces, self._known)

    def _whole(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def byte_pieces(tokenizer: Any, *, at_least: int) -> list[bytes] | None:
    """The bytes of every id, special tokens empty; None for a tokenizer that does not encode bytes."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = json.loads(backend.to_str()).get("decoder") if backend is not None else None
    if not decoder or decoder.get("type") != "ByteLevel":
        return None
    table = {char: byte for byte, char in _byte_characters().items()}
    special = set(tokenizer.all_special_ids)
    added = tokenizer.added_tokens_decoder
    pieces = [b""] * max(at_least, len(tokenizer))
    for text, number in tokenizer.get_vocab().items():
        if number in added:
            token = added[number]
            pieces[number] = b"" if token.special or number in special else str(token.content).encode()
        elif number not in special:
            pieces[number] = bytes(table[char] for char in text)
    return pieces


def _byte_characters() -> dict[int, str]:
    """How byte-level tokenizers write bytes as printable characters (openai/gpt-2, src/encoder.py)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
