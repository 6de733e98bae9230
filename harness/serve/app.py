"""The routes: what each path answers, who may ask, and what happens to a request that cannot be served."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import logging
import platform
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import HttpVersion11, web

from harness import __version__
from harness.monitor.prometheus import CONTENT_TYPE
from harness.serve import asked as reading
from harness.serve.answers import Answers
from harness.serve.asked import Asked
from harness.serve.calls import Call, ids_of
from harness.serve.detokenise import Detokeniser
from harness.serve.fields import DetokenizeFields, TokenizeFields, refuse_what_is_not_neutral
from harness.serve.metrics import Metrics
from harness.serve.problems import RETRY_AFTER_S, Problem
from harness.serve.prompts import Prompts
from harness.serve.reading import read
from harness.serve.render import Style
from sut.served import ServedSample
from sut.serving import ServingHub

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BODY_S = 30.0
OPEN_PATHS = ("/health", "/metrics")
STREAM_HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
JSON = "application/json"


class Stream(web.StreamResponse):
    """An answer whose head leaves with its first chunk, in one write."""

    _send_headers_immediately = False  # aiohttp's own way for whole answers; where it is not known, nothing is lost


class Api:
    """All that a request needs. ``names``: of the model; the first is ours, the others are accepted. ``state``:
    loading, ready, draining or broken. ``run``: what Prometheus is told that this is."""

    def __init__(
        self, *, hub: ServingHub, answers: Answers, names: list[str], key: str | None, max_streams: int, run: str
    ) -> None:
        self.hub = hub
        self.answers = answers
        self.names = names
        self.key = key
        self.max_streams = max_streams
        self.state = "loading"
        self.prompts: Prompts
        self.detokeniser: Detokeniser
        self.metrics = Metrics(hub, lambda: len(answers.open), run=run)
        self.seen: Callable[[web.Request], None] = lambda request: None
        self._started = int(time.time())
        self._numbers = itertools.count(1)
        self._calls = itertools.count(1)
        self._run = secrets.token_hex(4)

    def app(self, *, body_bytes: int) -> web.Application:
        app = web.Application(client_max_size=body_bytes, middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/health", self.health),
                web.get("/metrics", self.show_metrics),
                web.get("/version", self.version),
                web.get("/v1/models", self.models),
                web.get("/v1/models/{name:.+}", self.model),
                web.post("/v1/completions", self.completions),
                web.post("/v1/chat/completions", self.chat),
                web.post("/tokenize", self.tokenize),
                web.post("/detokenize", self.detokenize),
            ]
        )
        self.metrics.expect(route.resource.canonical for route in app.router.routes() if route.resource is not None)
        return app

    # -- around every request --------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every request comes through here: the key, the state, and problems in OpenAI's shape."""
        self.seen(request)
        try:
            if self.key is not None and request.path not in OPEN_PATHS:
                self._check_key(request)
            if self.state != "ready" and request.path not in ("/metrics", "/version"):
                raise Problem(f"the server is {self.state}", status=503)
            response = await handler(request)
        except Problem as problem:
            response = self._refusal(problem)
        except web.HTTPException as error:
            response = self._refusal(Problem(f"{request.method} {request.path}: {error.reason}", status=error.status))
        except ConnectionError:
            raise  # the client has gone: nobody is there to be told
        except Exception as error:
            log.exception("%s %s", request.method, request.path)
            response = self._refusal(Problem(f"an error of the server's own: {type(error).__name__}", status=500))
        self.metrics.responded(self._route(request), response.status)
        if self.state == "draining":
            response.force_close()
        return response

    def _check_key(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if not hmac.compare_digest(given.encode(errors="replace"), (self.key or "").encode()):
            raise Problem("the API key is missing or wrong", status=401, code="invalid_api_key")

    def _refusal(self, problem: Problem) -> web.Response:
        response = web.Response(status=problem.status, body=problem.body(), content_type=JSON)
        if problem.status == 503:
            response.headers["Retry-After"] = str(RETRY_AFTER_S)
        if problem.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    def _route(self, request: web.Request) -> str:
        resource = request.match_info.route.resource
        return resource.canonical if resource is not None else "other"

    async def _body(self, request: web.Request) -> bytes:
        """The whole body. Raises ``Problem`` for one that is too large, or that does not come to its end."""
        too_large = Problem(f"the body: at most {request.client_max_size:,} bytes are read", status=413)
        if (request.content_length or 0) > request.client_max_size:
            raise too_large  # before any of it has come
        try:
            if request.content.is_eof():  # it came with the head: there is nothing to wait for
                return await request.read()
            async with asyncio.timeout(BODY_S):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise too_large from None
        except web.RequestPayloadError as error:
            raise Problem(f"the body cannot be read: {' '.join(str(error).split())}") from None
        except TimeoutError:
            raise Problem(f"the body did not come within {BODY_S:.0f} s", status=408) from None

    # -- what is small ---------------------------------------------------------------------------------------------

    async def health(self, request: web.Request) -> web.Response:
        if not self.hub.ready:
            raise Problem("no worker is ready", status=503)
        return web.Response()

    async def show_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self.metrics.page(), headers={"Content-Type": CONTENT_TYPE})

    async def version(self, request: web.Request) -> web.Response:
        engine = self.hub.engine
        facts = {
            "version": __version__,
            "python": platform.python_version(),
            "engine": engine and f"{engine.name} {engine.version}",
            "model": self.names[0],
        }
        if self.state != "loading":
            facts["chat_template"] = self.prompts.templates.choice
        return web.Response(body=msgspec.json.encode(facts), content_type=JSON)

    def _model(self) -> dict[str, Any]:
        return {
            "id": self.names[0],
            "object": "model",
            "created": self._started,
            "owned_by": "mlperf-llama",
            "root": self.names[0],
            "max_model_len": self.prompts.context,
        }

    async def models(self, request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode({"object": "list", "data": [self._model()]}), content_type=JSON)

    async def model(self, request: web.Request) -> web.Response:
        self._check_model(request.match_info["name"])
        return web.Response(body=msgspec.json.encode(self._model()), content_type=JSON)

    def _check_model(self, name: str | None) -> None:
        if name is not None and name not in self.names:
            text = f"model: {name!r} is not served here, {self.names[0]!r} is"
            raise Problem(text, status=404, param="model", code="model_not_found")

    async def tokenize(self, request: web.Request) -> web.Response:
        fields = read(await self._body(request), TokenizeFields)
        self._check_model(fields.model)
        refuse_what_is_not_neutral(fields)
        if (fields.prompt is None) == (fields.messages is None):
            raise Problem("prompt: give it, or messages", param="prompt")
        if fields.messages is not None:
            reading.refuse_special_tokens(fields.add_special_tokens)
            text = self.prompts.templates.prompt(fields.messages, fields.chat_template)
            tokens = await self.prompts.encode(text, "messages", special_tokens=False)
        else:
            special = fields.add_special_tokens is not False
            tokens = await self.prompts.encode(fields.prompt or "", "prompt", special_tokens=special)
        ids = ids_of(tokens)
        found = {"tokens": ids, "count": len(ids), "max_model_len": self.prompts.context}
        return web.Response(body=msgspec.json.encode(found), content_type=JSON)

    async def detokenize(self, request: web.Request) -> web.Response:
        fields = read(await self._body(request), DetokenizeFields)
        self._check_model(fields.model)
        text = self.detokeniser.new().feed(self.prompts.pack(fields.tokens, "tokens"), last=True)
        return web.Response(body=msgspec.json.encode({"prompt": text}), content_type=JSON)

    # -- answers -----------------------------------------------------------------------------------------------------

    async def completions(self, request: web.Request) -> web.StreamResponse:
        came = time.perf_counter_ns()
        return await self._answer(request, reading.completion(await self._body(request)), came)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        came = time.perf_counter_ns()
        return await self._answer(request, reading.chat(await self._body(request)), came)

    async def _answer(self, request: web.Request, asked: Asked, came: int) -> web.StreamResponse:
        self._check_model(asked.model)
        if len(self.answers.open) >= self.max_streams:
            raise Problem(f"{self.max_streams:,} requests are open, as many as --max-streams allows", status=503)
        prompts = await self.prompts.ids(asked)
        call = self._call(asked, prompts, came)
        self.answers.open[call.number] = call
        self.metrics.most_open = max(self.metrics.most_open, len(self.answers.open))
        try:
            self.hub.ask([choice.sample for choice in call.choices])
            return await (self._stream(request, call) if asked.stream else self._whole(call))
        finally:
            self._leave(call)

    def _call(self, asked: Asked, prompts: list[bytes], came: int) -> Call:
        number = next(self._calls)
        style = Style(chat=asked.chat, number=f"{self._run}-{number}", model=asked.model or self.names[0])
        call = Call(asked, style=style, eos=self._eos(), number=number)
        for prompt in prompts:
            limits = self.prompts.limits(asked, prompt)
            sample = ServedSample(next(self._numbers), number, len(prompt) >> 2, came, prompt=prompt, limits=limits)
            call.add(sample, self.detokeniser.new())
        return call

    def _eos(self) -> frozenset[int]:
        return frozenset(self.prompts.info.eos_token_ids)

    def _leave(self, call: Call) -> None:
        """The request is over, well or not: tell the hub what nobody waits for, and book it."""
        del self.answers.open[call.number]
        unfinished = []
        for choice in call.choices:
            sample = choice.sample
            sample.listener = None
            stopped = choice.finish is not None
            if not (sample.done or sample.failure or stopped):
                unfinished.append(sample.id)
            self.metrics.ended(sample, stopped=stopped)
        if unfinished:
            self.hub.cancel(unfinished)
        call.choices.clear()  # they point back to it, and only a collection would find out

    async def _whole(self, call: Call) -> web.StreamResponse:
        await call.wake.wait()
        if call.problem is not None:
            raise call.problem
        return web.Response(body=call.body(), content_type=JSON)

    async def _stream(self, request: web.Request, call: Call) -> web.StreamResponse:
        await call.wake.wait()  # for the first token: until then an error is a status, not an event
        if call.problem is not None:
            raise call.problem
        response = Stream(headers=STREAM_HEADERS)
        if framed := request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        else:
            response.force_close()  # whatever the client asked for: nothing else tells it where the answer ends
        await response.prepare(request)
        if request.transport is None:
            raise ConnectionResetError("the client has gone")
        call.wake.clear()
        call.begin(request.transport, framed=framed)
        self.answers.show(call)
        if call.left or call.problem:
            await response.write(call.flow())
        if call.left:
            await call.wake.wait()
        if call.problem is not None:
            self.metrics.cut.inc()
            call.write(call.problem.event())
            call.transport.close()  # without the end of a whole response, so that nobody can take it for one
            return response
        await response.write_eof(call.rest())
        return response
