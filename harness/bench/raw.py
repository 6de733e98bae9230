"""``python -m harness.bench.raw RUN_DIR``: the engine alone on the run's data set, no LoadGen and no harness around it.

For vLLM that is ``LLM.generate`` on all prompts at once, as its own benchmarks drive it; with ``--static-batches N``
batches of N one after another, the way the MLCommons reference drives it. Other engines: submit everything, poll to the
end. Writes ``raw.json``. In a process of its own, so that its memory is free before the harness's run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from harness import config
from harness.rundir.names import CONFIG
from harness.workers import engine_settings
from mlperf_llama_base.files import write_json
from qsl.dataset import Dataset
from sut import engines
from sut.messages import Completion, EngineSettings, Request


def warm_up_prompts(count: int) -> list[list[int]]:
    """The same random prompts that a worker warms up with."""
    random = np.random.default_rng(0)
    return [random.integers(100, 10_000, 16 + 1024 * k // max(1, count - 1)).tolist() for k in range(count)]


def generate_with_engine(settings: EngineSettings, prompts: list[list[int]], *, warm_up: int) -> tuple[float, int]:
    """Return seconds and generated tokens of our engine object driven directly."""
    engine = engines.create(settings)
    engine.load()
    engine.warm_up([np.array(p, np.int32) for p in warm_up_prompts(warm_up)])
    requests = [Request(i, np.array(p, np.int32).tobytes()) for i, p in enumerate(prompts)]
    began = time.perf_counter()
    engine.submit(requests)
    tokens = sum(len(e.tokens) // 4 for e in _events(engine) if isinstance(e, Completion))
    seconds = time.perf_counter() - began
    engine.close()
    return seconds, tokens


def _events(engine: Any) -> Iterator[Any]:
    while engine.outstanding:
        yield from engine.poll(1.0)


def main(run_dir: Path, batch: int | None) -> None:
    run_config = config.build(yaml.safe_load((run_dir / CONFIG).read_text()))
    dataset = Dataset.load(Path(run_config.dataset.path or ""), limit=run_config.dataset.limit)
    prompts = [dataset.tokens(i).tolist() for i in range(dataset.count)]
    settings = engine_settings(run_config)
    warm_up = run_config.workers.warm_up_prompts
    if alone := engines.raw_driver(settings.name):
        seconds, tokens = alone(settings, prompts, warm_up=warm_up_prompts(warm_up), batch=batch)
    else:
        seconds, tokens = generate_with_engine(settings, prompts, warm_up=warm_up)
    figures = {
        "samples": len(prompts),
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
        "samples_per_second": len(prompts) / seconds,
    }
    write_json(run_dir / (f"raw-batches-of-{batch}.json" if batch else "raw.json"), figures)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[3]) if sys.argv[2:3] == ["--static-batches"] else None)
