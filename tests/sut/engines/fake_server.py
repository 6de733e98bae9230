"""A completions server with faults on demand. The answer to a prompt is its first id plus 1, 2, 3, …"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from aiohttp import web

from tests.helpers.web import ServerInThread

LENGTH = 6


class FakeServer(ServerInThread):
    """``faults`` maps a prompt's first id to the faults of its attempts, in order.

    Faults: ``500``, ``429``, ``400``, ``hang-up`` (before the first byte); after the first token: ``cut``, ``stall``,
    ``error`` (told in the stream), ``other`` (another first token, then cut).
    """

    def __init__(
        self,
        *,
        faults: dict[int, list[str]] | None = None,
        token_ids: bool = True,
        key: str | None = None,
        unknown: tuple[str, ...] = (),
        metrics: str = "",
        port: int = 0,
    ) -> None:
        self.faults = faults or {}
        self.token_ids = token_ids
        self.key = key
        self.unknown = unknown
        self.metrics = metrics
        self.attempts: Counter[int] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.in_flight = self.most_in_flight = 0
        self.connections: set[Any] = set()
        super().__init__(port)

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_post("/v1/completions", self._completions)
        return app

    async def _models(self, request: web.Request) -> web.Response:
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.Response(status=401, text="wrong key")
        return web.json_response({"data": [{"id": "fake", "max_model_len": 2668}]})

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=self.metrics, status=200 if self.metrics else 404)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.connections.add(request.transport)
        for name in self.unknown:
            if name in body:
                return web.json_response({"error": f"unknown field {name}"}, status=400)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(request, body)
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        start = body["prompt"][0]
        faults = self.faults.get(start, [])
        fault = faults[self.attempts[start]] if self.attempts[start] < len(faults) else ""
        self.attempts[start] += 1
        if fault.isdigit():
            return web.Response(status=int(fault), text="as asked")
        if fault == "hang-up":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        own = body["max_tokens"] if body.get("ignore_eos") else max(LENGTH, body.get("min_tokens", 0))
        length = min(own, body["max_tokens"])
        ids = [start + 1 + n for n in range(length)]
        finish = "stop" if length == own else "length"
        if not body["stream"]:
            await asyncio.sleep(0.005)
            return web.json_response({"choices": [self._choice(ids, finish)], "usage": {"completion_tokens": length}})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if fault == "other":
            ids[0] += 1000
        for n, token in enumerate(ids):
            await self._send(response, {"choices": [self._choice([token], finish if n == length - 1 else None)]})
            if fault == "stall":
                await asyncio.sleep(60)
            if fault == "error":
                await self._send(response, {"error": {"message": "broken inside", "code": 500}})
                return response
            if fault in ("cut", "other"):
                assert request.transport is not None
                request.transport.abort()
                return response
            await asyncio.sleep(0.001)
        await self._send(response, {"choices": [], "usage": {"completion_tokens": length}})
        await response.write(b"data: [DONE]\n\n")
        return response

    def _choice(self, ids: list[int], finish: str | None) -> dict[str, Any]:
        choice = {"index": 0, "text": "".join(f" w{i}" for i in ids), "finish_reason": finish}
        return choice | ({"token_ids": ids} if self.token_ids else {})

    async def _send(self, response: web.StreamResponse, event: dict[str, Any]) -> None:
        await response.write(f"data: {json.dumps(event)}\n\n".encode())
