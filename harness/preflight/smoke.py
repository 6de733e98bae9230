"""The process of the smoke test: one engine, a few samples, one line of JSON on standard output.

Apart from the command line, because an engine may crash, hang or leave threads behind.
"""

from __future__ import annotations

import os
import sys
import time

import msgspec
import numpy as np

from mlperf_llama_base import typed
from mlperf_llama_base.errors import HarnessError
from sut.engines import create
from sut.engines.base import Engine
from sut.engines.contract import violations_of
from sut.messages import Completion, EngineInfo, EngineSettings, Failure, FirstToken, Request


class Job(msgspec.Struct, kw_only=True):
    """What the engine's process is asked: to load, and to answer ``prompts`` (token ids)."""

    settings: EngineSettings
    prompts: list[list[int]]
    vocab_size: int | None = None


class Answer(msgspec.Struct, kw_only=True):
    """``error``: why there is nothing else. ``lengths``: tokens of each output; times in seconds."""

    error: str | None = None
    info: EngineInfo | None = None
    load_s: float = 0.0
    lengths: list[int] = []
    seconds: float = 0.0
    violations: list[str] = []


def try_prompts(engine: Engine, info: EngineInfo, prompts: list[list[int]], vocab_size: int | None) -> Answer:
    """Send ``prompts`` and check what comes back."""
    firsts: dict[int, list[int]] = {}
    outputs: dict[int, list[int]] = {}
    violations: list[str] = []
    begun = time.monotonic()
    engine.submit([Request(i, np.asarray(ids, "<i4").tobytes()) for i, ids in enumerate(prompts)])
    while engine.outstanding:
        for event in engine.poll(1.0):
            if isinstance(event, Failure):
                violations.append(f"sample {event.id} failed: {event.reason}")
                continue
            target = firsts if isinstance(event, FirstToken) else outputs
            if event.id in target:
                violations.append(f"sample {event.id} was reported twice")
            target[event.id] = np.frombuffer(event.tokens, "<i4").tolist()
            if isinstance(event, Completion):
                first = firsts.get(event.id)
                violations += violations_of(engine.settings, info, event.id, first, outputs[event.id], vocab_size)
    violations += [f"sample {i} got no answer" for i in range(len(prompts)) if i not in outputs and not violations]
    lengths = [len(ids) for ids in outputs.values()]
    return Answer(info=info, lengths=lengths, seconds=time.monotonic() - begun, violations=violations)


def main() -> None:
    job = typed.from_json(sys.stdin.read(), Job)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print on standard output; the answer must stand alone there
    try:
        engine = create(job.settings)
        begun = time.monotonic()
        info = engine.load()
        loaded = time.monotonic()
        answer = try_prompts(engine, info, job.prompts, job.vocab_size)
        answer.load_s = loaded - begun
        engine.close()
    except HarnessError as error:
        answer = Answer(error=str(error))
    except Exception as error:  # noqa: BLE001  an engine may raise anything; it is reported, not hidden
        answer = Answer(error=f"the engine raised {type(error).__name__}: {' '.join(str(error).split())[:300]}")
    out.write(msgspec.json.encode(answer) + b"\n")
    out.flush()
    os._exit(0)  # an engine's threads must not keep the process


if __name__ == "__main__":
    main()
