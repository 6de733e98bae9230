"""The process of the smoke test: one engine, a few samples, one line of JSON on standard output.

Apart from the command line, because an engine may crash, hang or leave threads behind.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import msgspec
import numpy as np

from mlperf_llama_base.errors import HarnessError
from sut.engines import create
from sut.engines.base import Engine
from sut.engines.contract import violations_of
from sut.messages import Completion, EngineInfo, EngineSettings, Failure, FirstToken, Request


def try_prompts(engine: Engine, info: EngineInfo, prompts: list[list[int]], vocab_size: int | None) -> dict[str, Any]:
    """Send ``prompts`` and check what comes back. Returns lengths (tokens), seconds and violations."""
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
    return {
        "lengths": [len(ids) for ids in outputs.values()],
        "seconds": time.monotonic() - begun,
        "violations": violations,
    }


def main() -> None:
    job = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print on standard output; the answer must stand alone there
    try:
        settings = msgspec.convert(job["settings"], EngineSettings)
        engine = create(settings)
        begun = time.monotonic()
        info = engine.load()
        answer = {"load_s": time.monotonic() - begun, "info": msgspec.to_builtins(info)}
        answer |= try_prompts(engine, info, job["prompts"], job["vocab_size"])
        engine.close()
    except HarnessError as error:
        answer = {"error": str(error)}
    except Exception as error:  # noqa: BLE001  an engine may raise anything; it is reported, not hidden
        answer = {"error": f"the engine raised {type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    out.write(json.dumps(answer) + "\n")
    out.flush()
    os._exit(0)  # an engine's threads must not keep the process


if __name__ == "__main__":
    main()
