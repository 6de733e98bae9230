"""From a request's bytes to what is asked: each problem with the field that it is about."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from harness.serve.problems import Problem
from mlperf_llama_base import typed
from mlperf_llama_base.errors import nearest

T = TypeVar("T", bound=msgspec.Struct)
UNKNOWN = re.compile(r"unknown field `(.*)`")
MISSING = re.compile(r"missing required field `(.*)`")
WHERE = re.compile(r" - at `\$\.([^`\[.]+)[^`]*`$")
_ints = msgspec.json.Decoder(list[int])
_texts = msgspec.json.Decoder(list[str])
_int_lists = msgspec.json.Decoder(list[list[int]])
_text = msgspec.json.Decoder(str)


def read(body: bytes, kind: type[T]) -> T:
    """Decode a body. Raises ``Problem``: no JSON, not UTF-8, a field that is unknown, missing or of a wrong type."""
    try:
        return typed.from_json(body, kind)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), kind) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(f"the body is no JSON in UTF-8: {' '.join(str(error).split())}") from None


def _invalid(reason: str, kind: type[msgspec.Struct]) -> Problem:
    inside = WHERE.search(reason)
    if (unknown := UNKNOWN.search(reason)) and not inside:
        known = [f.encode_name for f in msgspec.structs.fields(kind)]
        hint = nearest(unknown[1], known)
        return Problem(f"{unknown[1]}: this field is not known{hint}", param=unknown[1], code="unknown_field")
    if (missing := MISSING.search(reason)) and not inside:
        return Problem(f"{missing[1]}: this field is missing", param=missing[1])
    if inside:
        text = reason[: inside.start()]
        return Problem(f"{inside[1]}: {text[0].lower()}{text[1:]}", param=inside[1])
    return Problem(f"the body: {reason[0].lower()}{reason[1:]}")


def prompts(raw: msgspec.Raw) -> list[str] | list[list[int]]:
    """The prompts of a completion: one text, ids of one, or a list of either. Raises ``Problem``."""
    data = bytes(raw)
    head = data.translate(None, b" \t\r\n")[:2] if data[:1] == b"[" else data[:1]
    try:
        if head[:1] == b'"':
            return [_text.decode(data)]
        if head == b'["':
            return _texts.decode(data)
        if head == b"[[":
            return _int_lists.decode(data)
        if head[:1] == b"[" and head != b"[]":
            return [_ints.decode(data)]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(f"prompt: {' '.join(str(error).split())}", param="prompt") from None
    raise Problem("prompt: a text, a list of token ids, or a list of either, and not empty", param="prompt")


def decoded(pairs: Any) -> Any:
    """What ``return_token_ids`` gives: ids of int32 LE bytes."""
    return list(memoryview(pairs).cast("i"))
