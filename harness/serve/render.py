"""The bytes of answers and of their chunks. What is the same in all chunks of an answer is written once."""

from __future__ import annotations

import time
from typing import Any

import msgspec

encode = msgspec.json.encode
DONE = b"data: [DONE]\n\n"


class Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completed(msgspec.Struct):
    """One choice of ``/v1/completions``."""

    index: int
    text: str
    finish_reason: str | None
    token_ids: list[int] | msgspec.UnsetType = msgspec.UNSET
    prompt_token_ids: list[int] | msgspec.UnsetType = msgspec.UNSET
    logprobs: None = None


class Said(msgspec.Struct):
    role: str
    content: str


class Answered(msgspec.Struct):
    """One choice of ``/v1/chat/completions``."""

    index: int
    message: Said
    finish_reason: str | None
    token_ids: list[int] | msgspec.UnsetType = msgspec.UNSET
    logprobs: None = None


class Style:
    """How one endpoint writes the answer to one request."""

    def __init__(self, *, chat: bool, number: str, model: str) -> None:
        self.chat = chat
        self.head = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{number}",
            "object": ("chat.completion" if chat else "text_completion"),
            "created": int(time.time()),
            "model": model,
        }
        shown = self.head | {"object": "chat.completion.chunk"} if chat else self.head
        self._chunk_head = b"data: " + encode(shown)[:-1] + b',"choices":['
        self._first = b'"delta":{"role":"assistant","content":' if chat else b'"text":'
        self._next = b'"delta":{"content":' if chat else b'"text":'
        self._reason = (b"}" if chat else b"") + b',"logprobs":null,"finish_reason":'

    def around(self, index: int) -> tuple[bytes, bytes]:
        """What stands before and behind the text, a string of JSON, in each event between a stream's first and last."""
        return self._before(index, self._next), self._reason + b"null}]}\n\n"

    def _before(self, index: int, opening: bytes) -> bytes:
        return b'%b{"index":%d,%b' % (self._chunk_head, index, opening)

    def chunk(
        self,
        index: int,
        text: str,
        *,
        first: bool,
        finish: str | None = None,
        ids: bytes | None = None,
        prompt: bytes | None = None,
        usage: Usage | None = None,
    ) -> bytes:
        """One event of a stream. ``ids``, ``prompt``: int32 LE, where they were asked for."""
        parts = [
            self._before(index, self._first if first else self._next),
            encode(text),
            self._reason,
            b'"%b"' % finish.encode() if finish else b"null",
        ]
        if ids is not None:
            parts += (b',"token_ids":', encode(list(memoryview(ids).cast("i"))))
        if prompt is not None:
            parts += (b',"prompt_token_ids":', encode(list(memoryview(prompt).cast("i"))))
        parts.append(b"}]")
        if usage is not None:
            parts += (b',"usage":', encode(usage))
        parts.append(b"}\n\n")
        return b"".join(parts)

    def usage_chunk(self, usage: Usage) -> bytes:
        """The event that says what a stream has cost, and no more."""
        return self._chunk_head + b'],"usage":' + encode(usage) + b"}\n\n"

    def whole(self, choices: list[Any], usage: Usage) -> bytes:
        """An answer that is not streamed."""
        return encode({**self.head, "choices": choices, "usage": usage})
