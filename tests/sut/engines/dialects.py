"""Completions servers that speak as servers in use do, each dialect a function from the ids of an answer to bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web

from tests.helpers.web import ServerInThread

EOS = 2
LENGTH = 6
Stream = Callable[[list[int]], list[bytes]]


def answer_to(prompt: list[int], most: int) -> list[int]:
    """First id plus 1, 2, 3 ... and an EOS."""
    ids = [prompt[0] + 1 + n for n in range(LENGTH - 1)] + [EOS]
    return ids[:most]


def choice(ids: list[int], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"index": 0, "text": "".join(f" w{i}" for i in ids), "token_ids": ids, "finish_reason": finish} | more


def event(value: Any, end: str = "\n") -> bytes:
    text = value if isinstance(value, str) else json.dumps(value)
    return f"data: {text}{end}{end}".encode()


def usage(count: Any) -> bytes:
    return event({"choices": [], "usage": {"completion_tokens": count}})


DONE = event("[DONE]")


def counted(count: Any) -> dict[str, Any]:
    return {"usage": {"completion_tokens": count}}


def pieces(ids: list[int], finish: str = "stop") -> Iterator[bytes]:
    for n, token in enumerate(ids):
        yield event({"choices": [choice([token], finish if n == len(ids) - 1 else None)]})


def plain(ids: list[int]) -> list[bytes]:
    return [*pieces(ids), usage(len(ids)), DONE]


def _multiline(ids: list[int]) -> list[bytes]:
    texts = [json.dumps({"choices": [choice([t], "stop" if t == EOS else None)]}, indent=1) for t in ids]
    return ["".join(f"data: {line}\n" for line in text.split("\n")).encode() + b"\n" for text in texts] + [DONE]


def _two_choices(ids: list[int]) -> list[bytes]:
    second = [event({"choices": [choice([7], None, index=1)]}) for _ in ids]
    return [part for pair in zip(pieces(ids), second, strict=True) for part in pair] + [usage(len(ids)), DONE]


# What is understood: the answer is the one that was sent
UNDERSTOOD: dict[str, Stream] = {
    "plain": plain,
    "carriage returns and line feeds": lambda ids: [part.replace(b"\n", b"\r\n") for part in plain(ids)],
    "carriage returns": lambda ids: [part.replace(b"\n", b"\r") for part in plain(ids)],
    "a byte-order mark": lambda ids: [b"\xef\xbb\xbf", *plain(ids)],
    "comments": lambda ids: [b": OPENROUTER PROCESSING\n\n", b":\n\n", *plain(ids)],
    "a ping with empty data": lambda ids: [b"event: ping\ndata: \n\n", *plain(ids)],
    "a keep-alive as data": lambda ids: [b"data: : OPENROUTER PROCESSING\n\n", *plain(ids)],
    "data of several lines": _multiline,
    "cut at every third byte": lambda ids: [
        part for whole in [b"".join(plain(ids))] for part in (whole[i : i + 3] for i in range(0, len(whole), 3))
    ],
    "all in one piece": lambda ids: [b"".join(plain(ids))],
    "two choices": _two_choices,
    "choices null": lambda ids: [
        *pieces(ids),
        event({"choices": None, "usage": {"completion_tokens": len(ids)}}),
        DONE,
    ],
    "usage without choices": lambda ids: [*pieces(ids), event(counted(len(ids))), DONE],
    "usage as floats": lambda ids: [*pieces(ids), usage(float(len(ids))), DONE],
    "usage as text": lambda ids: [*pieces(ids), usage(str(len(ids))), DONE],
    "finish_reason eos_token": lambda ids: [*pieces(ids, "eos_token"), usage(len(ids)), DONE],
    "finish_reason by itself": lambda ids: [
        *(event({"choices": [choice([i])]}) for i in ids),
        event({"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}),
        DONE,
    ],
    "finish_reason empty": lambda ids: [
        *(event({"choices": [choice([i], "stop" if i == EOS else "")]}) for i in ids[:-1]),
        event({"choices": [choice(ids[-1:], "stop")]}),
        DONE,
    ],
    "ids as tokens": lambda ids: [
        *(event({"choices": [{"index": 0, "text": " w", "tokens": [i]}]}) for i in ids[:-1]),
        event({"choices": [{"index": 0, "text": " w", "tokens": ids[-1:], "finish_reason": "stop"}]}),
        DONE,
    ],
    "an event of a megabyte": lambda ids: [event({"choices": [], "prompt_logprobs": "x" * 2**20}), *plain(ids)],
    "no DONE": lambda ids: [*pieces(ids), usage(len(ids))],
}

# What is no answer, and the words that the user must see
REFUSED: dict[str, tuple[Stream, str]] = {
    "error object": (
        lambda ids: [event({"error": {"message": "EngineCore encountered an issue", "code": 500}}), DONE],
        "EngineCore encountered an issue",
    ),
    "flat error object": (
        lambda ids: [event({"object": "error", "message": "CUDA out of memory on rank 0", "code": 500}), DONE],
        "CUDA out of memory on rank 0",
    ),
    "error event": (
        lambda ids: [b'event: error\ndata: {"message": "CUDA out of memory on rank 0"}\n\n'],
        "CUDA out of memory on rank 0",
    ),
    "a web page": (lambda ids: [b"<html>502 upstream</html>"], "<html>502 upstream</html>"),
    "escape sequences": (lambda ids: [event({"error": "\x1b]0;owned\x07\x1b[2Jbad"})], "owned"),
    "aborted": (lambda ids: [*pieces(ids, "abort"), DONE], "finish_reason 'abort'"),
    "cut": (lambda ids: list(pieces(ids))[:3], "the stream ended before the answer did"),
}


class DialectServer(ServerInThread):
    """``stream``: for the benchmark's requests, ``probe`` for the engine's; ``models``:
    status and body of /v1/models; ``loading``: so many requests for it are answered 503 first; ``busy``: so many of the
    others 429, with this Retry-After; ``whole``: an answer that is no stream.
    """

    def __init__(
        self,
        stream: Stream = plain,
        *,
        probe: Stream = plain,
        models: tuple[int, str] = (200, '{"data": [{"id": "m"}]}'),
        loading: int = 0,
        busy: tuple[int, str] = (0, ""),
        whole: Callable[[list[int]], dict[str, Any]] | None = None,
    ) -> None:
        self.stream, self.probe, self.models, self.loading = stream, probe, models, loading
        self.busy, self.retry_after = busy
        self.whole = whole or (lambda ids: {"choices": [choice(ids, "stop")], "usage": {"completion_tokens": len(ids)}})
        self.requests: list[dict[str, Any]] = []
        super().__init__()

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/completions", self._completions)
        return app

    async def _models(self, _: web.Request) -> web.Response:
        if self.loading > 0:
            self.loading -= 1
            return web.json_response({"error": {"message": "Loading model"}}, status=503)
        return web.Response(status=self.models[0], text=self.models[1])

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        is_probe = body["prompt"] == [1, 2, 3]
        if not is_probe and self.busy > 0:
            self.busy -= 1
            return web.Response(status=429, text="rate limit", headers={"Retry-After": self.retry_after})
        ids = answer_to(body["prompt"], body["max_tokens"])
        if not body["stream"]:
            return web.json_response(self.whole(ids))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in (self.probe if is_probe else self.stream)(ids):
            await response.write(part)
        return response
