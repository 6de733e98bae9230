"""Any server that speaks OpenAI's completions with token-id prompts: vLLM's, SGLang, TensorRT-LLM serve, and others.

Token ids go in, and come out where the server returns them (``return_token_ids`` in vLLM). Where it does not, its text
is encoded again; that need not give the ids which the model chose, and the result says so.

An event loop in a thread of its own serves ``max_connections`` requests at once. A request that is refused, stalls, is
answered 5xx or whose stream is cut is asked again from the start, with growing pauses; greedy decoding makes the
repetition the same, and its first token is checked to be the one already reported. When nothing came through any
more, the engine as a whole is broken and ``poll`` raises, so that other workers take over.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import random
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

from mlperf_llama_base.errors import EnvironmentFault, RunError, UserError
from sut.engines import openai_args
from sut.engines.base import Engine
from sut.engines.openai_client import (
    OPTIONAL,
    Answer,
    Client,
    Rejected,
    Retriable,
    kv_cache_dtype,
    prefix_caching,
    served_models,
)
from sut.engines.openai_told import Told, packed
from sut.messages import Completion, EngineInfo, EngineSettings, Event, Failure, Limits, Request

logger = logging.getLogger(__name__)

LONGEST_PAUSE_S = 10.0
PROBE = [1, 2, 3]
PROBE_TOKENS = 2
SERVICE_UNAVAILABLE = 503
START_SHARE = 0.95  # of workers.start_timeout_s, so that we say what we wait for before somebody else gives up on us


class OpenAIEngine(Engine):
    """One endpoint. Arguments: :class:`sut.engines.openai_args.OpenAIArgs`."""

    facts = openai_args.FACTS
    concurrent = True

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(settings)
        self.args = openai_args.parse(settings)
        self.url = openai_args.endpoint(self.args)
        self._client: Client
        self._tokenizer: Any = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="http")
        self._waiting: asyncio.Queue[Request] = asyncio.Queue()
        self._lanes: list[asyncio.Task[None]] = []
        self._lane_of: dict[int, Any] = {}
        self._cancelled: set[int] = set()
        self._closing = False
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._submitted = self._delivered = self._busy = 0
        self._last_success = 0.0
        self._broken: str | None = None
        self._retried = self._length_mismatches = 0

    def load(self) -> EngineInfo:
        headers, tls = openai_args.headers(self.args), openai_args.tls(self.args)
        self._thread.start()
        try:
            return asyncio.run_coroutine_threadsafe(self._connect(headers, tls), self._loop).result()
        except Rejected as error:
            hint = "check engine.args.api_key_env" if error.status in (401, 403) else "check engine.args.url and model"
            raise UserError(f"endpoint {self.url}: {error}; {hint}") from error
        except Retriable as error:
            hint = "; is the server running there?" if error.connection else ""
            raise EnvironmentFault(f"endpoint {self.url}: {error}{hint}") from error

    async def _connect(self, headers: dict[str, str], tls: Any) -> EngineInfo:
        self._client = Client(self.url, self.args, headers=headers, tls=tls)
        models = await self._models()
        name = self.args.model or next(iter(models), self.settings.model)
        if not name:
            raise UserError(f"endpoint {self.url} does not say which models it serves: set engine.args.model")
        if models and name not in models:
            raise UserError(f"endpoint {self.url} serves {', '.join(models)}, not {name!r}: set engine.args.model")
        self._client.body = {
            "model": name,
            "max_tokens": self.settings.max_new_tokens,
            "min_tokens": self.settings.min_new_tokens,
            "temperature": 0,
            "return_token_ids": True,
            **({"ignore_eos": True} if self.args.ignore_eos else {}),
            **self.args.extra_body,
        }
        dropped = await self._probe()
        info = await self._describe(dropped, models.get(name))
        self._lanes = [self._loop.create_task(self._lane()) for _ in range(self.args.max_connections)]
        return info

    async def _models(self) -> dict[str, int | None]:
        """The models that the server says it serves, with the longest context of each. A server need not say it, where
        engine.args.model names one."""
        try:
            return served_models(await self._once_loaded(partial(self._client.get, "/v1/models")))
        except (Rejected, ValueError) as error:
            if self.args.model is None:
                if isinstance(error, Rejected) and error.status in (401, 403):
                    raise
                raise UserError(f"endpoint {self.url}/v1/models: {error}; set engine.args.model") from error
            logger.warning("endpoint %s/v1/models: %s; taking engine.args.model at its word", self.url, error)
            return {}

    async def _probe(self) -> list[str]:
        """Find out which fields the server takes and whether it returns token ids, the way that the run will ask it.

        Returns the fields given up.
        """
        dropped: list[str] = []
        piece = (lambda _: None) if self.settings.first_tokens else None
        while True:
            least = {"min_tokens": 1} if "min_tokens" in self._client.body else {}
            try:
                attempt = partial(self._client.complete, PROBE, piece, max_tokens=PROBE_TOKENS, **least)
                answer = await self._once_loaded(attempt)
            except Rejected as error:
                left = [name for name in OPTIONAL if name in self._client.body]
                if error.status not in (400, 422) or not left:
                    raise
                named = [name for name in left if name in str(error)]
                dropped.append((named or left)[0])
                del self._client.body[dropped[-1]]
                continue
            break
        if answer.repeats and len(answer.token_ids) > PROBE_TOKENS:
            raise UserError(
                f"endpoint {self.url} returns {len(answer.token_ids)} token ids where {PROBE_TOKENS} were asked for: "
                "does its stream repeat the answer so far? Let it send what is new in each event"
            )
        if not answer.token_ids or answer.late:
            if self.args.tokenizer is None:
                lacking = "token ids only at the end of its stream" if answer.late else "no token ids"
                raise UserError(
                    f"endpoint {self.url} returns {lacking}: set engine.args.tokenizer to encode its "
                    "text again (the ids may then differ from those that the model chose)"
                )
            self._tokenizer = openai_args.load_tokenizer(self.args.tokenizer)
        return dropped

    async def _describe(self, dropped: list[str], max_model_len: int | None) -> EngineInfo:
        metrics = (await self._optional("/metrics")).decode(errors="replace")
        version = await self._optional("/version")
        caching = prefix_caching(metrics)
        eos = self.args.eos_token_id if self._tokenizer is None else self._eos()
        facts = {
            "url": self.url,
            "model": self._client.body["model"],
            "token_ids": "from the server" if self._tokenizer is None else "from re-encoded text, may differ",
            "prefix_caching": {True: "on", False: "off", None: "not reported"}[caching],
            "no_prefix_caching_stated": self.args.no_prefix_caching,
            "dropped_fields": dropped,
            "extra_body": self.args.extra_body,
            "verify_tls": self.args.verify_tls,
        }
        try:
            release = str(msgspec.json.decode(version)["version"])
        except (msgspec.DecodeError, KeyError, TypeError):
            release = "unknown"
        return EngineInfo(
            name="openai",
            version=release,
            capacity=self.args.max_connections,
            eos_token_ids=[] if eos is None else [eos],
            max_prompt_tokens=max_model_len and max_model_len - self.settings.max_new_tokens,
            prefix_caching=bool(caching),
            kv_cache_dtype=kv_cache_dtype(metrics),
            facts=facts,
            not_submittable=self._not_submittable(caching),
            honours=self._honours(),
        )

    def _honours(self) -> list[str]:
        """What the server can do for one request; its text alone does not come token by token."""
        least = ["min_tokens"] if "min_tokens" in self._client.body else []
        return ["max_tokens", *least, "ignore_eos", *(["stream"] if self._tokenizer is None else []), "cancel"]

    def _not_submittable(self, caching: bool | None) -> list[str]:
        """Why a result cannot be submitted. ``caching``: of prefixes at the server; None: it does not say."""
        reasons = []
        if caching:
            reasons.append("prefix caching is on at the server: the rules allow no reuse across queries")
        elif caching is None and not self.args.no_prefix_caching:
            reasons.append(
                "the server does not say whether prefix caching is off: engine.args.no_prefix_caching=true states it"
            )
        if self._tokenizer is not None:
            reasons.append("token ids are the tokenizer's, not the model's: the server returns text only")
        if self.args.ignore_eos or self._client.body.get("ignore_eos"):
            reasons.append("ignore_eos: answers go on past the end-of-sequence token")
        return reasons

    async def _optional(self, path: str) -> bytes:
        try:
            return await self._client.get(path)
        except (Rejected, Retriable):
            return b""

    def _eos(self) -> int | None:
        eos = self.args.eos_token_id if self.args.eos_token_id is not None else self._tokenizer.eos_token_id
        return None if eos is None else int(eos)

    async def _once_loaded(self, attempt: Any) -> Any:
        """As :meth:`_retrying`; a server that answers 503 is loading: it is waited for as long as a worker may take."""
        give_up = time.monotonic() + START_SHARE * self.settings.start_timeout_s
        while True:
            try:
                return await self._retrying(attempt)
            except Retriable as error:
                if error.status != SERVICE_UNAVAILABLE:
                    raise
                if time.monotonic() > give_up:
                    limit = f"workers.start_timeout_s is {self.settings.start_timeout_s:g}"
                    raise EnvironmentFault(f"endpoint {self.url} is not ready yet ({limit}): {error}") from error

    async def _retrying(self, attempt: Any) -> Any:
        """Run ``attempt()`` until it gives a result or the attempts are used up."""
        for pause in self._pauses():
            try:
                return await attempt()
            except Retriable as error:
                if pause is None:
                    raise
                wait_s = max(pause, error.after_s)
                logger.warning("endpoint %s: %s; again in %.1f s", self.url, error, wait_s)
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable: the last pause is None")

    def _pauses(self) -> list[float | None]:
        """Seconds to wait after each failed attempt; None after the last. Spread, so that not all come back at once."""
        doubled = [min(LONGEST_PAUSE_S, self.args.backoff_s * 2**n) for n in range(self.args.retries)]
        return [*(pause * random.uniform(0.75, 1.25) for pause in doubled), None]

    def submit(self, requests: Sequence[Request]) -> None:
        self._submitted += len(requests)
        self._loop.call_soon_threadsafe(self._enqueue, list(requests))

    def _enqueue(self, requests: list[Request]) -> None:
        for request in requests:
            self._waiting.put_nowait(request)

    def cancel(self, ids: Sequence[int]) -> None:
        """A request that is under way is broken off, which tells the server."""
        self._loop.call_soon_threadsafe(self._break_off, list(ids))

    def _break_off(self, ids: list[int]) -> None:
        if self._waiting.empty():
            self._cancelled.clear()
        for request_id in ids:
            lane = self._lane_of.get(request_id)
            if lane is None:
                self._cancelled.add(request_id)
            else:
                lane.cancel()

    async def _lane(self) -> None:
        this: Any = asyncio.current_task()
        while True:
            request = await self._waiting.get()
            if request.id in self._cancelled:
                self._events.put(Failure(request.id, "cancelled"))
                continue
            self._busy += 1
            self._lane_of[request.id] = this
            try:
                await self._serve(request)
            except asyncio.CancelledError:
                if self._closing:
                    raise
                this.uncancel()
                self._events.put(Failure(request.id, "cancelled"))
            except Exception as error:
                logger.exception("request %d", request.id)
                self._events.put(Failure(request.id, f"{type(error).__name__}: {error}"))
            finally:
                del self._lane_of[request.id]
                self._busy -= 1

    async def _serve(self, request: Request) -> None:
        prompt = np.frombuffer(request.tokens, dtype="<i4").tolist()
        started = time.monotonic()
        attempts = 0
        told = Told(request, self._events.put, server_gives_ids=self._tokenizer is None)
        fields = self._fields(request.limits) if request.limits is not None else {}

        def on_piece(answer: Answer) -> None:
            self.generated += told.new(len(answer.token_ids))
            if told.first is None or told.streams:
                told.grow(self._ids(answer))

        async def attempt() -> Answer:
            nonlocal attempts
            attempts += 1
            return await self._client.complete(prompt, on_piece if self.settings.first_tokens else None, **fields)

        try:
            answer = await self._retrying(attempt)
        except (Rejected, Retriable) as error:
            if isinstance(error, Retriable) and error.connection and self._last_success < started:
                self._broken = self._broken or str(error)
                self._events.put(None)
            else:
                self._events.put(Failure(request.id, f"endpoint {self.url}: {error} (attempts: {attempts})"))
            return
        self._retried += attempts > 1
        self._last_success = time.monotonic()
        self._events.put(self._end_of(request, answer, told))

    def _fields(self, limits: Limits) -> dict[str, Any]:
        """The request's own limits, in place of what all are asked with."""
        least = {"min_tokens": limits.min_tokens} if "min_tokens" in self._client.body else {}
        return {"max_tokens": limits.max_tokens, **least, **({"ignore_eos": True} if limits.ignore_eos else {})}

    def _end_of(self, request: Request, answer: Answer, told: Told) -> Event:
        """The last event of a request that was answered. ``told``: what was reported of it before."""
        tokens = self._ids(answer, final=True)
        if not tokens:
            return Failure(request.id, f"endpoint {self.url}: the answer is empty")
        if differs := told.differs(tokens):
            return Failure(request.id, f"endpoint {self.url}: asked again after a cut stream, {differs}")
        counted = -1 if answer.reported_length is None else answer.reported_length
        self._length_mismatches += counted not in (-1, len(tokens))
        # what was encoded again is another text to the tokenizer than to the model: its count proves nothing
        return Completion(request.id, packed(tokens), -1 if self._tokenizer is not None else counted)

    def _ids(self, answer: Answer, *, final: bool = False) -> list[int]:
        """Return the ids of an answer. Re-encoded, its first piece stays apart, so that the first token is kept."""
        if self._tokenizer is None:
            return answer.token_ids
        pieces = [answer.texts[0], "".join(answer.texts[1:])] if answer.texts else []
        ids = [int(i) for piece in pieces if piece for i in self._tokenizer.encode(piece, add_special_tokens=False)]
        if final and answer.finish_reason == "stop" and (eos := self._eos()) is not None:
            ids.append(eos)
        return ids

    def poll(self, timeout_s: float) -> list[Event]:
        events: list[Event] = []
        try:
            item = self._events.get(timeout=timeout_s)
            while True:
                if item is not None:
                    events.append(item)
                item = self._events.get_nowait()
        except queue.Empty:
            pass
        self._delivered += sum(type(event) in (Completion, Failure) for event in events)
        if self._broken is not None and not events:
            raise RunError(f"endpoint {self.url} is gone: {self._broken}")
        return events

    @property
    def outstanding(self) -> int:
        return self._submitted - self._delivered

    @property
    def running(self) -> int:
        return self._busy

    def live_facts(self) -> dict[str, Any]:
        return {"requests_asked_again": self._retried, "token_counts_that_differ": self._length_mismatches}

    def close(self) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._disconnect(), self._loop).result(timeout=10)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout=10)
        if not self._loop.is_running():
            self._loop.close()

    async def _disconnect(self) -> None:
        self._closing = True
        for lane in self._lanes:
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        if hasattr(self, "_client"):
            await self._client.close()
