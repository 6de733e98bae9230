"""One completion over HTTP: the request's body, the server's answer, and which failures another attempt can cure."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from sut.engines.openai_args import OpenAIArgs

# Servers that reject a field they do not know get the request without it.
OPTIONAL = ("return_token_ids", "min_tokens")


class Retriable(Exception):
    """The attempt failed in a way that says nothing about the request. ``connection``: the server was not there."""

    def __init__(self, reason: str, *, connection: bool = False) -> None:
        super().__init__(reason)
        self.connection = connection


class Rejected(Exception):
    """The server understood and refused: another attempt would end the same."""

    def __init__(self, reason: str, *, status: int) -> None:
        super().__init__(reason)
        self.status = status


class Choice(msgspec.Struct):
    text: str | None = None
    token_ids: list[int] | None = None
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    completion_tokens: int | None = None


class Chunk(msgspec.Struct):
    """A completion, whole or one event of a stream."""

    choices: list[Choice] = []
    usage: Usage | None = None
    error: Any = None


@dataclass
class Answer:
    """What came back: token ids where the server gives them, and the text in the pieces it came in."""

    token_ids: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    reported_length: int | None = None

    def add(self, chunk: Chunk) -> None:
        if chunk.error is not None:
            raise Retriable(f"the server reports an error in its stream: {_short(chunk.error)}")
        if chunk.usage is not None and chunk.usage.completion_tokens is not None:
            self.reported_length = chunk.usage.completion_tokens
        for choice in chunk.choices:
            if choice.token_ids:
                self.token_ids += choice.token_ids
            if choice.text:
                self.texts.append(choice.text)
            self.finish_reason = choice.finish_reason or self.finish_reason


class Client:
    """The connections to one server. Must be made and used inside one event loop."""

    def __init__(self, url: str, args: OpenAIArgs, *, headers: dict[str, str], tls: Any) -> None:
        self.url = url
        self.args = args
        self.body: dict[str, Any] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=args.max_connections, ssl=tls, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=args.timeout_s, sock_read=args.timeout_s),
            headers={**headers, "Content-Type": "application/json"},
        )
        self._decode = msgspec.json.Decoder(Chunk).decode

    async def close(self) -> None:
        await self._session.close()

    async def get(self, path: str) -> bytes:
        """Fetch a page of the server. Raises ``Retriable`` or ``Rejected``."""
        async with _guarded(self._session.get(self.url + path), self.args.timeout_s) as response:
            return await response.read()

    async def complete(self, prompt: list[int], on_piece: Callable[[Answer], None] | None, **fields: Any) -> Answer:
        """Ask for one completion. ``on_piece`` makes it a stream and sees the answer grow."""
        body = {**self.body, **fields, "prompt": prompt, "stream": on_piece is not None}
        if on_piece is not None:
            body["stream_options"] = {"include_usage": True}
        answer = Answer()
        request = self._session.post(f"{self.url}/v1/completions", data=msgspec.json.encode(body))
        async with _guarded(request, self.args.timeout_s) as response:
            if on_piece is None:
                answer.add(self._parse(await response.read()))
            else:
                async for data in _events(response):
                    answer.add(self._parse(data))
                    if answer.token_ids or answer.texts:
                        on_piece(answer)
        if answer.finish_reason is None:
            raise Retriable("the stream ended before the answer did")
        if answer.finish_reason not in ("stop", "length"):
            raise Retriable(f"the server ended the answer with finish_reason {answer.finish_reason!r}")
        return answer

    def _parse(self, data: bytes) -> Chunk:
        try:
            return self._decode(data)
        except msgspec.DecodeError as error:
            raise Retriable(f"the server's answer is no completion: {error}") from error


@contextlib.asynccontextmanager
async def _guarded(request: Any, timeout_s: float) -> AsyncIterator[aiohttp.ClientResponse]:
    """A response of status 200; transport errors and other statuses become ``Retriable`` or ``Rejected``."""
    try:
        async with request as response:
            if response.status != 200:
                reason = f"the server answers {response.status}: {_short(await response.text(errors='replace'))}"
                if response.status == 429 or response.status >= 500:
                    raise Retriable(reason)
                raise Rejected(reason, status=response.status)
            yield response
    except aiohttp.ClientConnectorError as error:
        raise Retriable(f"no connection: {_short(error)}", connection=True) from error
    except TimeoutError as error:
        raise Retriable(f"the server was silent for {timeout_s:g} s", connection=True) from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise Retriable(f"the connection was cut: {type(error).__name__}: {_short(error)}") from error


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the data of each server-sent event. Reads to the end, past ``[DONE]``: else the connection is not kept."""
    async for line in response.content:
        if line.startswith(b"data:") and (data := line[5:].strip()) != b"[DONE]":
            yield data


def prefix_caching(metrics: str) -> bool | None:
    """Read from vLLM's metrics page whether prefix caching is on; None where the page does not say."""
    match = re.search(r'vllm:cache_config_info\{[^}]*enable_prefix_caching="(\w+)"', metrics)
    return None if match is None else match[1] == "True"


def kv_cache_dtype(metrics: str) -> str:
    """Read the KV cache's format from vLLM's metrics page."""
    match = re.search(r'vllm:cache_config_info\{[^}]*cache_dtype="(\w+)"', metrics)
    return "unknown" if match is None else match[1]


def _short(text: object) -> str:
    return " ".join(str(text).split())[:200]
