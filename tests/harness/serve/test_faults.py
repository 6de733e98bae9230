"""What goes wrong while clients wait: real processes, real signals. No stream is ever ended as if it were whole."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from harness.rundir import names
from harness.rundir.files import read_record
from harness.rundir.served import ServeRecord
from harness.serve import connections, settings
from harness.serve.connections import Connections
from mlperf_llama_base.errors import EnvironmentFault
from tests.harness.serve import tokenizers
from tests.harness.serve.client import Answer, Endpoint, read_events, serving
from tests.helpers.command import command
from tests.helpers.waiting import until

pytestmark = pytest.mark.timeout(240)
PROMPT = list(range(10, 90))
FIELDS = {"max_tokens": 80, "ignore_eos": True, "return_token_ids": True}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizers.make(folder)
    return folder


def options(tokenizer: Path, *pairs: str) -> tuple[str, ...]:
    sets = (f"model.tokenizer={tokenizer}", "workers.heartbeat_s=0.2", "workers.warm_up_prompts=1", *pairs)
    return ("--engine", "null", *(word for pair in sets for word in ("--set", pair)))


def record(server: Endpoint) -> ServeRecord:
    found = read_record(server.folder / names.SERVE, ServeRecord)
    assert found is not None
    return found


def workers(server: Endpoint) -> list[Any]:
    return server.process.family("sut.workers.main")


def several(server: Endpoint, count: int, **fields: Any) -> list[Any]:
    """Start so many requests at once; the futures of their answers."""
    pool = ThreadPoolExecutor(max_workers=count)
    asked = FIELDS | fields
    return [pool.submit(server.complete, [*PROMPT, i], **asked) for i in range(count)]


@pytest.mark.parametrize("phase", ["waiting and in the middle", "before the first token"])
def test_a_worker_that_is_killed_hands_its_requests_on(tmp_path: Path, tokenizer: Path, phase: str) -> None:
    """The same tokens, none of them twice, also of those that were not streamed."""
    early = phase == "before the first token"  # a step of half a second ends with it
    length = 8 if early else 60
    step_ms, most = (500, 64) if early else (30, 4)  # four of eight run in each worker
    args = (f"engine.args.step_ms={step_ms}", f"engine.args.max_num_seqs={most}")
    with serving(tmp_path, *options(tokenizer, *args), "--workers", "2") as server:
        streams = several(server, 12, stream=True, stream_options={"include_usage": True}, max_tokens=length)
        wholes = several(server, 4, max_tokens=length)
        until(lambda: server.metric("mlperf_llama_running") > 0)
        if not early:
            until(lambda: server.metric("mlperf_llama_waiting") == 8)
        workers(server)[0].send_signal(signal.SIGKILL)
        for number, answer in enumerate(f.result(120) for f in streams):
            assert answer.done and answer.ids == [*PROMPT, number][:length]
            assert answer.events[-1]["usage"]["completion_tokens"] == length
        for number, answer in enumerate(f.result(120) for f in wholes):
            assert answer.json["choices"][0]["token_ids"] == [*PROMPT, number][:length]
        assert server.metric("mlperf_llama_retries_total") > 0
        until(lambda: server.metric("mlperf_llama_worker_restarts_total") == 1, 60)
        assert server.metric("mlperf_llama_streams_cut_total") == 0


def test_where_nobody_is_left_a_stream_says_so_and_is_not_whole(tmp_path: Path, tokenizer: Path) -> None:
    args = ("engine.args.step_ms=30", "engine.args.max_num_seqs=2", "workers.max_restarts=0")
    with serving(tmp_path, *options(tokenizer, *args)) as server:
        running = several(server, 2, stream=True, max_tokens=10_000)
        until(lambda: server.metric("mlperf_llama_running") == 2)
        waiting = several(server, 1, stream=True)
        time.sleep(0.5)
        workers(server)[0].send_signal(signal.SIGKILL)
        for future in running:
            with pytest.raises(Exception, match="IncompleteRead") as cut:
                future.result(60)
            assert b'data: {"error":{"message":"the answer could not be completed: no worker is left' in partial(cut)
            assert b"[DONE]" not in partial(cut)
        refused: Answer = waiting[0].result(60)
        assert refused.status == 503 and refused.headers["Retry-After"] == "5"
        done = server.process.wait(60)
    assert done.code == 4 and "no worker is left" in done.err
    found = record(server)
    assert found.outcome == "broken" and "no worker is left" in (found.reason or "")
    assert (found.answers.failed, found.answers.streams_cut) == (3, 2) and found.workers[0].fault


def partial(error: Any) -> bytes:
    return bytes(error.value.partial)


def test_a_thousand_streams_are_served_to_their_end_after_sigterm(tmp_path: Path, tokenizer: Path) -> None:
    args = ("engine.args.step_ms=60", "engine.args.max_num_seqs=1000", "engine.args.max_num_batched_tokens=100000")
    with serving(tmp_path, *options(tokenizer, *args)) as server:
        answers = asyncio.run(_thousand(server))
        done = server.process.wait(60)
    for body in answers:
        answer = Answer(200, {}, body)
        read_events(answer)
        assert answer.done and answer.ids == PROMPT
    assert done.code == 0 and "draining: 1,000 open requests" in done.out and "every request had its answer" in done.out
    found = record(server)
    assert found.outcome == "stopped" and found.ready and found.ended and found.engine and not found.left_open
    counted = found.answers
    assert (counted.whole, counted.most_open, counted.failed, counted.streams_cut) == (1000, 1000, 0, 0)
    assert counted.generated_tokens == counted.prompt_tokens == 1000 * len(PROMPT) == found.workers[0].tokens
    assert counted.responses["/v1/completions"] == {"200": 1000}
    assert all(count for by_status in counted.responses.values() for count in by_status.values())
    assert "/tokenize" not in counted.responses  # what nobody asked for is a 0 in /metrics, and nothing here


async def _thousand(server: Endpoint) -> list[bytes]:
    from aiohttp import TCPConnector

    url = f"http://127.0.0.1:{server.port}"
    begun = 0

    async def one(session: ClientSession, body: dict[str, Any]) -> bytes:
        nonlocal begun
        async with session.post(f"{url}/v1/completions", json=body) as response:
            begun += 1
            return await response.read()

    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        body = {"prompt": PROMPT, "stream": True, **FIELDS}
        tasks = [asyncio.create_task(one(session, body)) for _ in range(1000)]
        while begun < 1000:
            await asyncio.sleep(0.01)
        os.kill(server.process.process.pid, signal.SIGTERM)
        return await asyncio.gather(*tasks)


def test_while_it_loads_and_with_a_key(tmp_path: Path, tokenizer: Path) -> None:
    args = options(tokenizer, "engine.args.load_s=3")
    with serving(tmp_path, *args, "--api-key-env", "SERVE_KEY", env={"SERVE_KEY": "s3cret"}, wait=False) as server:
        key = {"Authorization": "Bearer s3cret"}
        for path in ("/health", "/v1/models"):
            answer = server.ask(path, headers=key)
            assert answer.status == 503 and "loading" in answer.json["error"]["message"]
            assert answer.headers["Retry-After"] == "5"
        until(lambda: server.ask("/health").status == 200, 60)
        assert server.ask("/v1/models").status == 401
        wrong = server.ask("/v1/models", headers={"Authorization": "Bearer s3cre"})
        assert (wrong.status, wrong.json["error"]["code"]) == (401, "invalid_api_key")
        assert server.ask("/v1/models", headers=key).status == 200
        assert record(server).outcome == "serving"  # and so it says after a kill -9
        assert b"s3cret" not in b"".join(p.read_bytes() for p in server.folder.rglob("*") if p.is_file())


def test_what_stands_in_the_way_is_said_in_a_line(tmp_path: Path, tokenizer: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = command("serve", *options(tokenizer), "--port", str(port), "--output", tmp_path / "a")
    assert done.code == 3 and f"port {port} of 127.0.0.1 is in use" in done.err and len(done.errors) == 1
    done = command("serve", *options(tokenizer), "--api-key-env", "NO_SUCH_KEY", "--output", tmp_path / "b")
    assert done.code == 2 and "NO_SUCH_KEY is not set" in done.err
    done = command("serve", *options(tokenizer), "--chat-template", "plane", "--output", tmp_path / "c")
    assert done.code == 2 and "did you mean 'plain'" in done.err


def test_too_few_file_handles(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [1024, 4096]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: limits.__setitem__(0, pair[0]))
    with pytest.raises(EnvironmentFault, match=r"13,368 open streams need 14,392 file handles.*4,096.*-Hn 14392"):
        settings.streams_within_handles(13_368)
    assert settings.streams_within_handles(None) == 4096 - 1024
    limits[:] = [1024, 1 << 20]
    assert settings.streams_within_handles(13_368) == 13_368 and limits[0] == 14_392


def test_a_connection_that_never_comes_to_a_request_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow loris: a header now and then. One that has asked is left to the keep-alive time."""
    monkeypatch.setattr(connections, "HEADER_S", 0.3)

    async def scene() -> tuple[bytes, bytes]:
        @web.middleware
        async def seen(request: web.Request, handler: Any) -> Any:
            door.has_asked(request)
            return await handler(request)

        async def page(request: web.Request) -> web.Response:
            return web.Response(text="here")

        app = web.Application(middlewares=[seen])
        app.router.add_get("/", page)
        runner = web.AppRunner(app)
        await runner.setup()
        door = Connections(runner)
        await door.listen("127.0.0.1", 0)
        slow_in, slow = await asyncio.open_connection("127.0.0.1", door.port)
        good_in, good = await asyncio.open_connection("127.0.0.1", door.port)
        slow.write(b"GET / HTTP/1.1\r\nHost: x\r\nA: ")
        good.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        head = await good_in.readuntil(b"here")
        await asyncio.sleep(0.4)
        door.sweep()
        rest = await slow_in.read()
        good.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        again = await good_in.readuntil(b"here")
        door.close()
        good.close()
        slow.close()
        await runner.cleanup()
        return rest, head + again

    rest, answers = asyncio.run(scene())
    assert rest == b"" and answers.count(b"200 OK") == 2


def test_what_is_no_http_is_a_line_of_the_log_and_not_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> bytes:
        runner = web.AppRunner(web.Application())
        await runner.setup()
        door = Connections(runner)
        await door.listen("127.0.0.1", 0)
        answer, asked = await asyncio.open_connection("127.0.0.1", door.port)
        asked.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n")
        told = await answer.read()
        door.close()
        asked.close()
        await runner.cleanup()
        return told

    assert b"400 Bad Request" in asyncio.run(scene())
    (record,) = [r for r in caplog.records if r.name == "aiohttp.server"]
    assert record.exc_info is None and "Content-Length" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_threads_are_not_left() -> None:
    assert not [t for t in threading.enumerate() if t.name == "hub"]
