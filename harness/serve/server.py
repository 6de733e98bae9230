"""From the command to a running server and to its end: load, answer, drain."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
import time
from pathlib import Path
from typing import Any

from aiohttp import web
from rich.console import Console

from harness.config import RunConfig
from harness.inventory.model import HUB_ID
from harness.rundir import names
from harness.rundir.directory import claimed
from harness.rundir.files import write_record
from harness.rundir.served import ServeRecord
from harness.rundir.system import this_system
from harness.serve import pool
from harness.serve.answers import Answers
from harness.serve.app import Api
from harness.serve.connections import BACKLOG, KEEP_ALIVE_S, Connections, backlog_allowed
from harness.serve.detokenise import Detokeniser
from harness.serve.journal import Journal, now
from harness.serve.problems import Problem
from harness.serve.prompts import Prompts
from harness.serve.settings import ServeSettings, streams_within_handles
from harness.serve.templates import Templates
from harness.workers import check_engine, engine_settings
from mlperf_llama_base.errors import HarnessError, UserError
from qsl.tokenizer import load_tokenizer
from sut.serving import ServingHub

LOOK_S = 0.2
SWEEP_S = 2.0
STALLED_S = 30.0  # a client that takes nothing for so long has stopped reading
MOST_UNREAD_BYTES = 1 << 20  # of one response; a whole answer of the benchmark has 25 kB
GC_THRESHOLDS = (50_000, 20, 100)  # an answer makes few cycles, and a collection stops every stream
SWITCH_S = 0.0005  # two threads share the interpreter: neither may keep a first token waiting for the usual 5 ms


def serve(config: RunConfig, settings: ServeSettings, console: Console) -> int:
    """Serve until told to stop. Returns 0; raises the ``HarnessError`` that ended it otherwise."""
    key = settings.key
    streams = streams_within_handles(settings.max_streams)
    for text in check_engine(config).values():
        console.print(f"warning: {text}", highlight=False, markup=False)
    config = pool.for_serving(config)
    tokenizer = tokenizer_of(config)
    templates = Templates(tokenizer, settings.chat_template)
    with claimed(config) as claim:
        config.save(claim.path / names.CONFIG)
        write_record(claim.path / names.SYSTEM, this_system())
        server = Server(config, settings, console, key=key, streams=streams, run_dir=claim.path)
        sys.setswitchinterval(SWITCH_S)
        return asyncio.run(server.run(tokenizer, templates))


def tokenizer_of(config: RunConfig) -> Any:
    """The tokenizer of the model, or of the demo model for an engine that has none. Raises ``UserError``."""
    name = config.model.tokenizer or config.model.path
    if name is None:
        from harness import demo

        name = str(demo.demo_model())
    try:
        return load_tokenizer(name, revision=config.model.revision)
    except UserError as error:
        raise UserError(f"{error}; --set model.tokenizer=FOLDER names another") from error


def model_names(config: RunConfig, settings: ServeSettings) -> list[str]:
    """What clients may call the model; the first is what they are told."""
    path = config.model.path
    own = Path(path).name if path and Path(path).is_dir() else path or config.engine.name
    found = [settings.name or own, own, *([path] if path else []), HUB_ID]
    return list(dict.fromkeys(found))


class Server:
    """One server, from the opened port to its end."""

    def __init__(
        self,
        config: RunConfig,
        settings: ServeSettings,
        console: Console,
        *,
        key: str | None,
        streams: int,
        run_dir: Path,
    ) -> None:
        self.config = config
        self.settings = settings
        self.console = console
        self._key = key
        self._streams = streams
        self._run_dir = run_dir
        self._stop = asyncio.Event()
        self._at_once = asyncio.Event()

    async def run(self, tokenizer: Any, templates: Templates) -> int:
        loop = asyncio.get_running_loop()
        self._hear_signals(loop)
        answers = Answers(loop, chunk_s=self.settings.chunk_ms / 1e3)
        with pool.started(self.config, run_dir=self._run_dir, news=answers.put) as hub:
            self._hear_signals(loop)  # again: connecting to Ray takes them
            answers.give_up = hub.cancel
            api = Api(
                hub=hub,
                answers=answers,
                names=model_names(self.config, self.settings),
                key=self._key,
                max_streams=self._streams,
                run=self._run_dir.resolve().name,
            )
            runner = web.AppRunner(
                api.app(body_bytes=self.settings.body_bytes),
                handle_signals=False,
                access_log=None,
                keepalive_timeout=KEEP_ALIVE_S,
                handler_cancellation=True,
            )
            await runner.setup()
            connections = Connections(runner)
            api.seen = connections.has_asked
            try:
                await connections.listen(self.settings.host, self.settings.port)
                address = self._address(connections.port)
                self._say_hello(address)
                journal = Journal(self._run_dir, self._record(api, address), hub=hub, metrics=api.metrics)
                return await self._to_the_end(api, connections, journal, tokenizer, templates)
            finally:
                connections.close()
                await runner.cleanup()

    async def _to_the_end(
        self, api: Api, connections: Connections, journal: Journal, tokenizer: Any, templates: Templates
    ) -> int:
        journal.write()
        try:
            if await self._loaded(api.hub):
                self._open(api, tokenizer, templates)
                journal.ready(chat_template=templates.choice)
                await self._answer(api, connections, journal)
            left = await self._end(api, connections)
        except HarnessError as error:
            journal.ended(left_open=len(api.answers.open), reason=str(error))
            raise
        journal.ended(left_open=left, reason=None)
        return 0

    def _record(self, api: Api, address: str) -> ServeRecord:
        return ServeRecord(
            outcome="loading",
            address=address,
            model=api.names[0],
            names=api.names,
            started=now(),
            chunk_ms=self.settings.chunk_ms,
            max_streams=self._streams,
        )

    def _hear_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():
            self._at_once.set()
        self._stop.set()

    def _address(self, port: int) -> str:
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        return f"http://{host}:{port}"

    def _say_hello(self, address: str) -> None:
        self._say(f"listening on {address} (logs in {self._run_dir}); the workers are loading")
        if self.settings.open_to_all:
            self._say("warning: whoever reaches this machine can ask; --api-key-env sets a key")
        if (backlog := backlog_allowed()) < min(4096, self._streams):
            self._say(f"warning: the kernel keeps {backlog} new connections: sysctl -w net.core.somaxconn={BACKLOG}")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    async def _loaded(self, hub: ServingHub) -> bool:
        """Wait for the workers. Returns whether they are ready, or somebody has asked to stop before."""
        while not pool.is_ready(self.config, hub):
            if await _waited(self._stop, LOOK_S):
                return False
        return True

    def _open(self, api: Api, tokenizer: Any, templates: Templates) -> None:
        info = api.hub.engine
        assert info is not None
        api.prompts = Prompts(tokenizer, templates, settings=engine_settings(self.config), info=info)
        api.detokeniser = Detokeniser(tokenizer, vocab_size=info.vocab_size)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        api.state = "ready"
        count = len(api.hub.workers)
        self._say(
            f"ready: {api.names[0]} on {count} worker{'s' * (count != 1)} ({info.name} {info.version}), "
            f"chat template {templates.choice}, up to {self._streams:,} open requests"
        )

    async def _answer(self, api: Api, connections: Connections, journal: Journal) -> None:
        """Until somebody asks to stop, or the workers are gone."""
        sweep_at = 0.0
        while not self._stop.is_set() and not api.answers.broken.is_set():
            await _waited(self._stop, LOOK_S)
            await journal.keep()
            if time.monotonic() >= sweep_at:
                sweep_at = time.monotonic() + SWEEP_S
                self._sweep(api, connections)

    def _sweep(self, api: Api, connections: Connections) -> None:
        connections.sweep()
        cut = api.answers.look(stalled_s=STALLED_S, most_bytes=MOST_UNREAD_BYTES)
        if cut:
            api.metrics.stalled.inc(cut)

    async def _end(self, api: Api, connections: Connections) -> int:
        """Let open requests come to their end; what is still open then is told so. Returns how many that were.

        Raises what broke the workers.
        """
        failure = api.hub.failure
        api.state = "broken" if failure else "draining"
        connections.close()
        answers = api.answers
        if answers.open and not failure:
            self._say(f"draining: {len(answers.open):,} open requests have {self.settings.drain_s:g} s")
        deadline = time.monotonic() + (5.0 if failure else self.settings.drain_s)
        while answers.open and not self._at_once.is_set() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
            self._sweep(api, connections)
            failure = failure or api.hub.failure
        left = len(answers.open)
        if left:
            answers.end_all(Problem("the server was stopped", status=503))
            await asyncio.sleep(0.5)
        if failure:
            raise failure
        self._say(f"stopped; {left:,} requests were cut off" if left else "stopped; every request had its answer")
        return left


async def _waited(event: asyncio.Event, seconds: float) -> bool:
    """Wait so long for the event; whether it came."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
