"""A small client of the tests, and a server that is started for them."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.helpers.command import Started, started
from tests.helpers.waiting import until


@dataclass
class Answer:
    """``events``: of a stream, decoded; ``done``: it ended with [DONE]."""

    status: int
    headers: dict[str, str]
    body: bytes
    events: list[dict[str, Any]] = field(default_factory=list)
    done: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        found = [c for e in self.events for c in e.get("choices", ())]
        return "".join(c["text"] if "text" in c else c["delta"].get("content", "") for c in found)

    @property
    def ids(self) -> list[int]:
        return [i for e in self.events for c in e.get("choices", ()) for i in c.get("token_ids", ())]


@dataclass
class Endpoint:
    """A running ``mlperf-llama serve``."""

    port: int
    process: Started
    folder: Path

    def ask(self, path: str, body: Any = None, *, headers: dict[str, str] | None = None, timeout: float = 60) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request("GET" if data is None else "POST", path, body=data, headers=headers or {})
            response = connection.getresponse()
            answer = Answer(response.status, dict(response.headers), response.read())
        finally:
            connection.close()
        if "event-stream" in answer.headers.get("Content-Type", ""):
            read_events(answer)
        return answer

    def complete(self, prompt: Any, **fields: Any) -> Answer:
        return self.ask("/v1/completions", {"prompt": prompt, **fields})

    def chat(self, text: str, **fields: Any) -> Answer:
        return self.ask("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], **fields})

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        total = 0.0
        for line in self.ask("/metrics").body.decode().splitlines():
            match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if match and match[1] == name and all(f'{k}="{v}"' in (match[2] or "") for k, v in labels.items()):
                total += float(match[3])
        return total


def read_events(answer: Answer) -> None:
    for event in answer.body.decode().split("\n\n"):
        data = event.removeprefix("data: ")
        if data == "[DONE]":
            answer.done = True
        elif data:
            answer.events.append(json.loads(data))


@contextmanager
def serving(
    folder: Path, *options: str | Path, env: dict[str, str] | None = None, wait: bool = True
) -> Iterator[Endpoint]:
    """Start ``mlperf-llama serve`` on a port that is free, and wait until it says that it is ready."""
    arguments = ("serve", "--port", "0", "--output", folder / "serve", *options)
    with started(*arguments, env={"PYTHONUNBUFFERED": "1"} | (env or {})) as process:
        out = process.process.stdout
        assert out is not None
        first = out.readline()
        match = re.search(r"listening on http://127\.0\.0\.1:(\d+)", first)
        assert match, first + process.wait(10).err
        endpoint = Endpoint(int(match[1]), process, folder / "serve")
        if wait:
            until(lambda: endpoint.ask("/health").status == 200, 120)
        try:
            yield endpoint
        finally:
            process.process.terminate()
            process.process.wait(60)
