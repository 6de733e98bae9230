"""A client that asks little of its machine: raw HTTP/1.1 over asyncio, a connection for each stream that is open,
counting instead of parsing. ``python -m harness.bench.serve_client ORDER.json`` writes its figures beside the order.

It checks what it counts: a stream is whole if it ended with ``[DONE]`` and its ``usage`` has the tokens asked for.
"""

from __future__ import annotations

import asyncio
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from mlperf_llama_base import files, typed

EVENT = b"data: "
USAGE = b'"completion_tokens":'
OPENING = 500  # connections that are being made at once


class Order(msgspec.Struct, kw_only=True):
    """``rate``: requests/s at random times; 0: ``streams`` at once, each opened as soon as it can be."""

    host: str
    port: int
    streams: int
    tokens: int
    rate: float = 0.0
    prompt_tokens: int = 16
    timeout_s: float = 300.0
    seed: int = 1


class Figures(msgspec.Struct, kw_only=True):
    """``ttft_ms``: of each whole stream, in order of their beginning. ``reasons``: why streams failed, counted."""

    whole: int
    failed: int
    chunks: int
    tokens: int
    most_open: int
    seconds: float
    ttft_ms: list[float]
    reasons: dict[str, int]


class Stream(asyncio.Protocol):
    """One request at a time on one connection. ``over(stream)`` is called at the end of each."""

    def __init__(self, tokens: int, over: Callable[[Stream], None]) -> None:
        self._tokens = tokens
        self._over = over
        self._waiting = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, request: bytes) -> None:
        self.chunks = 0
        self.first = 0.0
        self.failure = "the connection was closed before the end"
        self._tail = b""
        self._answered = False
        self._waiting = True
        self.asked = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if not self._answered:
            if not data.startswith(b"HTTP/1.1 200"):
                self.failure = data.partition(b"\r\n")[0].decode(errors="replace")
                self.transport.abort()
                return
            self._answered = True
        if not self.first:
            if EVENT not in data:
                return
            self.first = time.perf_counter()
        self.chunks += data.count(EVENT)
        self._tail = (self._tail + data)[-400:]
        if self._tail.endswith(b"0\r\n\r\n") and b"[DONE]" in self._tail:
            made = self._tail.partition(USAGE)[2].partition(b",")[0]
            self.failure = "" if made == b"%d" % self._tokens else f"usage says {made.decode()} tokens"
            self.chunks -= 2  # [DONE] and the usage
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self._end()

    def _end(self) -> None:
        self._waiting = False
        self._over(self)


class Client:
    """All streams of one order."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.ttft_ms: list[float] = []
        self.ended = self.chunks = self.open = self.most_open = 0
        self._idle: list[Stream] = []
        self.reasons: dict[str, int] = {}
        self._all_over = asyncio.Event()
        self._random = random.Random(order.seed)

    async def run(self) -> Figures:
        began = time.perf_counter()
        order = self.order
        gate = asyncio.Semaphore(OPENING)
        tasks = []
        due = began
        for _ in range(order.streams):
            if order.rate:
                due += self._random.expovariate(order.rate)
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            else:
                await gate.acquire()
            tasks.append(asyncio.create_task(self._one(None if order.rate else gate)))
        try:
            async with asyncio.timeout(order.timeout_s):
                await asyncio.gather(*tasks)
                await self._all_over.wait()
        except TimeoutError:
            self._count("not over in time", order.streams - self.ended)
        whole = len(self.ttft_ms)
        return Figures(
            whole=whole,
            failed=order.streams - whole,
            chunks=self.chunks,
            tokens=whole * order.tokens,
            most_open=self.most_open,
            seconds=time.perf_counter() - began,
            ttft_ms=self.ttft_ms,
            reasons=self.reasons,
        )

    async def _one(self, gate: asyncio.Semaphore | None) -> None:
        order = self.order
        try:
            stream = self._idle.pop() if self._idle else await self._connected()
        except OSError as error:
            self._over(f"no connection: {error.strerror or error}")
            return
        finally:
            if gate is not None:
                gate.release()
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        stream.ask(self._request(order))

    async def _connected(self) -> Stream:
        loop = asyncio.get_running_loop()
        where = (self.order.host, self.order.port)
        return (await loop.create_connection(lambda: Stream(self.order.tokens, self._ended), *where))[1]

    def _ended(self, stream: Stream) -> None:
        self.open -= 1
        if not stream.failure:
            self.ttft_ms.append(round(1e3 * (stream.first - stream.asked), 4))
            self.chunks += stream.chunks
            self._idle.append(stream)
        self._over(stream.failure)

    def _over(self, failure: str) -> None:
        self.ended += 1
        if failure:
            self._count(failure, 1)
        if self.ended == self.order.streams:
            self._all_over.set()

    def _count(self, reason: str, times: int) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + times

    def _request(self, order: Order) -> bytes:
        body = msgspec.json.encode(
            {
                "prompt": [self._random.randrange(1000, 20_000) for _ in range(order.prompt_tokens)],
                "max_tokens": order.tokens,
                "ignore_eos": True,
                "stream": True,
                "stream_options": {"include_usage": True},
            }
        )
        head = f"POST /v1/completions HTTP/1.1\r\nHost: {order.host}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def main(path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    order = typed.from_json(path.read_bytes(), Order)

    async def run() -> Figures:
        return await Client(order).run()

    files.write_whole(path.with_suffix(".figures.json"), msgspec.json.encode(asyncio.run(run())))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
