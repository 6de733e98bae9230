"""One completion over HTTP: the request's body, the server's answer, and which failures another attempt can cure."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from mlperf_llama_base import typed
from sut.engines.openai_args import OpenAIArgs
from sut.engines.sse import Decoder

# Servers that reject a field they do not know get the request without it.
OPTIONAL = ("return_token_ids", "min_tokens")
FINISHED = ("stop", "length", "eos_token", "stop_sequence")  # the last two: Text Generation Inference
LONGEST_QUOTE = 200
LONGEST_RETRY_AFTER_S = 300.0
LONGEST_CONNECT_S = 20.0  # TLS with a server that speaks plain HTTP waits for ever


class Retriable(Exception):
    """The attempt failed in a way that says nothing about the request. ``connection``: the server was not there.

    ``status``: of the answer, where there was one. ``after_s``: the server asks to wait so long (Retry-After).
    """

    def __init__(
        self, reason: str, *, connection: bool = False, status: int | None = None, after_s: float = 0.0
    ) -> None:
        super().__init__(reason)
        self.connection = connection
        self.status = status
        self.after_s = after_s


class Rejected(Exception):
    """The server understood and refused: another attempt would end the same."""

    def __init__(self, reason: str, *, status: int) -> None:
        super().__init__(reason)
        self.status = status


class Choice(msgspec.Struct):
    index: int = 0
    text: str | None = None
    token_ids: list[int] | None = None
    tokens: list[int] | None = None  # llama.cpp's name for them
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    completion_tokens: int | float | str | None = None

    @property
    def count(self) -> int | None:
        try:
            return None if self.completion_tokens is None else int(float(self.completion_tokens))
        except (ValueError, OverflowError):
            return None


class Extension(msgspec.Struct):
    """Where SGLang and llama.cpp put the ids of a whole answer."""

    completion_token_ids: list[list[int]] | None = None
    tokens: list[int] | None = None


class Chunk(msgspec.Struct):
    """A completion, whole or one event of a stream; or an error in its place, of one of three shapes."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    tokens: list[int] | None = None
    sglext: Extension | None = None
    verbose: Extension | None = msgspec.field(name="__verbose", default=None)
    error: Any = None
    kind: str | None = msgspec.field(name="object", default=None)
    message: Any = None

    @property
    def failure(self) -> Any:
        """What the server says in place of an answer; None where it answers."""
        flat = self.message if self.kind == "error" or (self.choices is None and self.message is not None) else None
        return self.error if self.error is not None else flat

    @property
    def whole(self) -> list[int] | None:
        """The ids of the whole answer, where they come apart from the choices."""
        if self.sglext is not None and self.sglext.completion_token_ids:
            return self.sglext.completion_token_ids[0]
        return (self.verbose.tokens if self.verbose is not None else None) or self.tokens


@dataclass
class Answer:
    """What came back for choice 0: ids where the server gives them, and the text in the pieces it came in.

    ``repeats``: an event began with all ids of those before it. ``late``: the ids came after text, all at once: such a
    stream does not say which token was the first when it came.
    """

    token_ids: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    finish_reason: str | None = None
    reported_length: int | None = None
    repeats: bool = False
    late: bool = False

    def add(self, chunk: Chunk) -> None:
        if chunk.failure is not None:
            raise Retriable(f"the server reports an error in a 200: {quoted(chunk.failure)}")
        if chunk.usage is not None and chunk.usage.count is not None:
            self.reported_length = chunk.usage.count
        for choice in chunk.choices or ():
            if choice.index:
                continue  # one answer was asked for
            new = choice.token_ids or choice.tokens or []
            self.repeats |= bool(self.token_ids) and new[: len(self.token_ids)] == self.token_ids
            self.token_ids += new
            if choice.text:
                self.texts.append(choice.text)
            self.finish_reason = choice.finish_reason or self.finish_reason
        if (whole := chunk.whole) and not self.token_ids:
            self.late = bool(self.texts) and not chunk.choices
            self.token_ids = list(whole)


class Client:
    """The connections to one server. Must be made and used inside one event loop."""

    def __init__(self, url: str, args: OpenAIArgs, *, headers: dict[str, str], tls: Any) -> None:
        self.url = url
        self.args = args
        self.body: dict[str, Any] = {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=args.max_connections, ssl=tls, keepalive_timeout=60),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=min(args.timeout_s, LONGEST_CONNECT_S), sock_read=args.timeout_s
            ),
            headers={**headers, "Content-Type": "application/json"},
        )
        self._decode = msgspec.json.Decoder(typed.ready(Chunk)).decode

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
        if answer.finish_reason not in FINISHED:
            raise Retriable(f"the server ended the answer with finish_reason {answer.finish_reason!r}")
        return answer

    def _parse(self, data: bytes) -> Chunk:
        try:
            return self._decode(data)
        except msgspec.DecodeError as error:
            raise Retriable(f"the server's answer is not a completion: {quoted(data)} ({error})") from error


@contextlib.asynccontextmanager
async def _guarded(request: Any, timeout_s: float) -> AsyncIterator[aiohttp.ClientResponse]:
    """A response of status 200; transport errors and other statuses become ``Retriable`` or ``Rejected``."""
    try:
        async with request as response:
            if response.status != 200:
                reason = f"the server answers {response.status}: {quoted(await response.read())}"
                if response.status == 429 or response.status >= 500:
                    raise Retriable(reason, status=response.status, after_s=_retry_after(response.headers))
                raise Rejected(reason, status=response.status)
            yield response
    except aiohttp.ClientConnectorError as error:
        raise Retriable(f"no connection: {quoted(error)}", connection=True) from error
    except TimeoutError as error:
        raise Retriable(f"the server was silent for {timeout_s:g} s", connection=True) from error
    except (aiohttp.ClientError, ConnectionError) as error:
        raise Retriable(f"the connection was cut: {type(error).__name__}: {quoted(error)}") from error


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a Retry-After asks for; 0 without one, or for a date (whose clock would it be?)."""
    value = headers.get("Retry-After", "").strip()
    return min(float(value), LONGEST_RETRY_AFTER_S) if value.isascii() and value.isdecimal() else 0.0


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the data of each server-sent event. Reads to the end, past ``[DONE]``: else the connection is not kept."""
    decoder = Decoder()
    seen = head = b""
    async for chunk in response.content.iter_any():
        head = head if len(head) > LONGEST_QUOTE else head + chunk
        for event in decoder.feed(chunk):
            seen = event.data
            if event.type == "error":
                raise Retriable(f"the server reports an error in its stream: {quoted(event.data)}")
            if event.data and event.data != b"[DONE]" and not event.data.startswith(b":"):  # the last: a keep-alive
                yield event.data
    if not seen:
        raise Retriable(f"the server's answer holds no event: {quoted(head)}")


def prefix_caching(metrics: str) -> bool | None:
    """Read from vLLM's metrics page whether prefix caching is on; None where the page does not say."""
    match = re.search(r'vllm:cache_config_info\{[^}]*enable_prefix_caching="(\w+)"', metrics)
    return None if match is None else match[1] == "True"


def kv_cache_dtype(metrics: str) -> str:
    """Read the KV cache's format from vLLM's metrics page."""
    match = re.search(r'vllm:cache_config_info\{[^}]*cache_dtype="(\w+)"', metrics)
    return "unknown" if match is None else match[1]


def quoted(text: object) -> str:
    """Foreign words in one printable line of bounded length."""
    plain = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    line = " ".join(plain[: 4 * LONGEST_QUOTE].split())[:LONGEST_QUOTE]
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def served_models(page: bytes) -> dict[str, int | None]:
    """The names on a page /v1/models, with the longest context where it is given. Raises ``ValueError`` for a page that
    is something else."""
    try:
        found = msgspec.json.decode(page)
    except msgspec.DecodeError:
        raise ValueError(f"no list of models: {quoted(page)}") from None
    entries = found.get("data") or [] if isinstance(found, dict) else found
    if not isinstance(entries, list):
        raise ValueError(f"no list of models: {quoted(page)}")
    models: dict[str, int | None] = {}
    for entry in entries:
        if isinstance(entry, dict) and isinstance(name := entry.get("id") or entry.get("name"), str):
            longest = entry.get("max_model_len")
            models[name] = longest if isinstance(longest, int) and longest > 0 else None
    return models
