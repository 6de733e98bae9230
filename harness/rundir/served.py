"""serve.json as types: what a server served, whom it answered how, and when; written by ``mlperf-llama serve``."""

from __future__ import annotations

from typing import Literal

import msgspec

SCHEMA_VERSION = 1


class ServedWorker(msgspec.Struct, kw_only=True):
    """One worker: how it is, and answers and tokens that were its own."""

    id: int
    state: str
    node: str | None = None
    gpu: str | None = None
    samples: int = 0
    tokens: int = 0
    restarts: int = 0
    fault: str | None = None


class AnswerCounts(msgspec.Struct, kw_only=True):
    """``whole``, ``left`` (its client went away) and ``failed``: answers, one for each prompt. ``prompt_tokens``: of
    whole ones; ``generated_tokens``: of all, end of sequence included. ``streams_cut``: streams that ended with an
    error. ``stalled``: connections cut because their client did not read. ``retried``: prompts given to another
    worker. ``most_open``: requests at once. ``responses``: by path and HTTP status.
    """

    whole: int = 0
    left: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    streams_cut: int = 0
    stalled: int = 0
    retried: int = 0
    most_open: int = 0
    responses: dict[str, dict[str, int]] = {}


class ServeRecord(msgspec.Struct, kw_only=True):
    """Times are UTC, ISO 8601; ``ready`` and ``ended`` null where it never came to it. ``outcome``: serving until the
    end is known, so that is what a kill -9 leaves; ``left_open``: requests that were cut off at the end.
    """

    outcome: Literal["loading", "serving", "stopped", "broken"]
    address: str
    model: str
    names: list[str]
    started: str
    reason: str | None = None
    ready: str | None = None
    written: str | None = None
    ended: str | None = None
    engine: str | None = None
    chat_template: str | None = None
    chunk_ms: float = 0.0
    max_streams: int | None = None
    left_open: int = 0
    answers: AnswerCounts = msgspec.field(default_factory=AnswerCounts)
    workers: list[ServedWorker] = []
    schema_version: int = SCHEMA_VERSION
