"""The worker process: an engine in the main thread, the wire (:mod:`sut.workers.wire`) in another."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from pathlib import Path
from queue import Empty

import numpy as np

from mlperf_llama_base import child, typed
from mlperf_llama_base.errors import EnvironmentFault, UserError
from mlperf_llama_base.node import node_name
from mlperf_llama_base.orphans import die_with_parent, die_with_pipe
from sut import engines
from sut.engines.base import Engine, IntArray
from sut.messages import Fault, Hello, Ready, StepEvents, WorkerSpec
from sut.workers import numa
from sut.workers.devices import gpu_name
from sut.workers.wire import NoEngine, Wire, hand_over, in_words

log = logging.getLogger("worker")
WARM_UP_TOKEN_LIMIT = 10_000  # ordinary words in every vocabulary in use; special ids lie at the ends


def serve(spec: WorkerSpec) -> int:
    """Load the engine, say so, and work until told to stop. Returns the exit status."""
    numa_nodes = numa.pin(spec.gpus) if spec.pin_numa else []
    made = create(spec)
    engine = made if isinstance(made, Engine) else None
    wire = Wire(spec, engine or NoEngine())
    wire.start()
    node = node_name()
    wire.send(Hello(os.getpid(), node, gpu_name(spec.gpus[0]) if spec.gpus else None, numa_nodes))
    status = 1
    try:
        if isinstance(made, Exception):
            raise made
        make_ready(made, wire, spec)
        work(made, wire)
        status = 0 if wire.failure is None else 1
    except (UserError, EnvironmentFault) as error:
        log.error("%s", error)
        wire.send(Fault(str(error), exit_code=error.exit_code))
    except Exception as error:
        log.exception("the engine broke")
        wire.send(Fault(in_words(error)))
    finally:
        wire.stopping.set()
        with contextlib.suppress(Exception):
            if engine is not None:
                engine.close()
        wire.send(StepEvents([]))
        wire.flushed.wait(3)
    return status


def create(spec: WorkerSpec) -> Engine | Exception:
    """The engine, or why there is none: that can only be reported once there is a wire."""
    try:
        return engines.create(spec.engine)
    except Exception as error:  # noqa: BLE001  an engine from outside may raise whatever it likes
        return error


def make_ready(engine: Engine, wire: Wire, spec: WorkerSpec) -> None:
    """Load and warm the engine, and say so."""
    started = time.monotonic()
    info = engine.load()
    loaded = time.monotonic()
    log.info("engine %s %s loaded in %.1f s", info.name, info.version, loaded - started)
    engine.warm_up(_warm_up_prompts(spec, info.vocab_size))
    engine.generated = 0
    wire.state = "ready"
    wire.send(Ready(info, loaded - started, time.monotonic() - loaded))


def work(engine: Engine, wire: Wire) -> None:
    """The engine's loop: take what came, do a step, hand over what it gave."""
    while not wire.stopping.is_set():
        if not engine.concurrent:
            with contextlib.suppress(Empty):
                hand_over(engine, wire.inbox.get(timeout=0.0 if engine.outstanding else 0.2))
                while True:
                    hand_over(engine, wire.inbox.get_nowait())
            if not engine.outstanding:
                continue
        events = engine.poll(0.2)
        if not engine.concurrent:
            engine.steps += 1
        if events:
            wire.events(events)


def _warm_up_prompts(spec: WorkerSpec, vocab_size: int | None) -> list[IntArray]:
    """Random ids, no data of the benchmark: nothing of the evaluation set may be seen before the clock starts."""
    high = min(vocab_size or WARM_UP_TOKEN_LIMIT, WARM_UP_TOKEN_LIMIT)
    random = np.random.default_rng(0)
    return [random.integers(min(100, high - 1), high, n).astype(np.int32) for n in spec.warm_up_lengths]


def main() -> None:
    spec = typed.from_msgpack(child.handed_over(), WorkerSpec)
    die_with_parent()
    die_with_pipe(sys.stdin.buffer)
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s worker {spec.id} %(name)s %(levelname)s %(message)s")
    if spec.cache_dir:
        Path(spec.cache_dir).mkdir(parents=True, exist_ok=True)
        for name in ("VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
            os.environ.setdefault(name, str(Path(spec.cache_dir) / name.lower()))
    # Read by OpenMP when torch loads it. Threads that spin while they wait take the cores from those they wait for as
    # soon as anything else runs on the machine; on an idle one it makes no difference
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    status = serve(spec)
    logging.shutdown()
    os._exit(status)  # an engine's own threads and atexit hooks must not keep the process


if __name__ == "__main__":
    main()
