"""What takes how long from a worker's first line to "ready": the parts of vLLM's start, in seconds, by name.

Part of it happens in the worker (importing vLLM, its configuration), part in the process that holds the GPU, where
vLLM's worker class is timed method by method. Together they are ``start_s`` in the engine's facts, and a line in the
worker's log.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from typing import Any

# vLLM's worker class, 0.26 to 0.33: what its methods do, in the order in which the executor calls them.
PARTS = {
    "init_device": "device",
    "load_model": "weights",
    "determine_available_memory": "compilation",  # a trial run, which compiles
    "initialize_from_config": "kv cache",
    "compile_or_warm_up_model": "cuda graphs",
}
MODULES = ("vllm.v1.worker.gpu_worker", "vllm.v1.worker.cpu_worker")
PROCESS = "process"  # until the device is there: the process itself and its imports

seconds: dict[str, float] = {}


class Clock:
    """Seconds between one ``lap`` and the next, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now

    def parts(self, *, core: str, of_worker: dict[str, float]) -> dict[str, float]:
        """The laps, with that of ``core`` taken apart into what the worker tells and the rest."""
        rest = self.laps.get(core, 0.0) - sum(of_worker.values())
        found = {name: s for name, s in self.laps.items() if name != core} | of_worker | {"rest": rest}
        return {name: round(s, 2) for name, s in found.items()}


def in_words(parts: dict[str, float]) -> str:
    return ", ".join(f"{name} {s:.1f} s" for name, s in parts.items() if s >= 0.05)


def watch() -> None:
    """Time the methods of vLLM's worker classes, as far as they are imported in this process, into ``seconds``."""
    for module in MODULES:
        for thing in list(vars(sys.modules.get(module, object)).values()):
            if isinstance(thing, type) and thing.__module__ == module:
                _watch_class(thing)


def _watch_class(cls: type) -> None:
    for method, name in PARTS.items():
        plain = vars(cls).get(method)
        if callable(plain) and not hasattr(plain, "mlperf_llama"):
            setattr(cls, method, _timed(plain, name))


def _timed(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def timed(*args: Any, **kwargs: Any) -> Any:
        began = time.perf_counter()
        if not seconds and (age := _age_of_process()) is not None:
            seconds[PROCESS] = age
        try:
            return method(*args, **kwargs)
        finally:
            seconds[name] = time.perf_counter() - began

    timed.mlperf_llama = True  # type: ignore[attr-defined]
    return timed


def _age_of_process() -> float | None:
    """Seconds since this process began; ``None`` where it is not vLLM's own."""
    owner = int(os.environ.get("MLPERF_LLAMA_ENGINE_OWNER", "0"))
    if owner in (0, os.getpid()):
        return None
    try:
        import psutil
    except ImportError:
        return None
    return float(time.time() - psutil.Process().create_time())
