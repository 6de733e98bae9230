"""What runs inside vLLM's own processes: a watch on the owner, and counts of compilations.

vLLM imports this module as its ``worker_extension_cls`` in every process that holds a GPU. There it does two things
that cannot be done from outside. It ends the process when the worker that owns the engine is gone: vLLM's core process
outlives a SIGKILL of its parent, and would keep the GPU's memory from the worker's next life. And it publishes, once a
second in a small file, how often anything was compiled, so that a run can say whether something compiled while the
clock was running. A file and not a call, because a call would wait for the engine's step and share its socket.
"""

from __future__ import annotations

import json
import os
import select
import signal
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sut.engines import vllm_launches, vllm_start

OWNER = "MLPERF_LLAMA_ENGINE_OWNER"
STATE = "MLPERF_LLAMA_ENGINE_STATE"
INTERVAL_S = 1.0

# Counters of vllm/compilation/counter.py that grow when work is compiled or captured, not when a cache is read.
COMPILATIONS = (
    "num_backend_compilations",
    "num_inductor_compiles",
    "num_eager_compiles",
    "num_aot_compiles",
    "num_cudagraph_captured",
    "stock_torch_compile_count",
)

_kernels: dict[str, int] = {}


class Probe:
    """Mixed into vLLM's worker class: its methods can be called through ``collective_rpc``."""

    def mlperf_llama_describe(self) -> str:
        """Return, as JSON, what this worker decided for itself: attention back end, CUDA graphs, kernels, memory."""
        return json.dumps(worker_facts(self))


def worker_facts(worker: Any) -> dict[str, Any]:
    """Collect facts of a loaded vLLM worker. What a release does not report is left out."""
    facts: dict[str, Any] = {"worker": type(worker).__name__, "start_s": dict(vllm_start.seconds)}
    runner = getattr(worker, "model_runner", None)
    facts["model_runner"] = f"{type(runner).__module__}.{type(runner).__name__}"
    with suppress(AttributeError, TypeError):
        facts["model_class"] = type(runner.get_model()).__name__  # type: ignore[union-attr]
    with suppress(AttributeError, TypeError):
        groups = [group for row in runner.attn_groups for group in row]  # type: ignore[union-attr]
        facts["attention_backend"] = ", ".join(sorted({group.backend.get_name() for group in groups}))
    with suppress(AttributeError, TypeError):
        compilation = worker.vllm_config.compilation_config
        facts["cudagraph_mode"] = getattr(compilation.cudagraph_mode, "name", str(compilation.cudagraph_mode))
        facts["cudagraph_sizes"] = list(compilation.cudagraph_capture_sizes or [])
    with suppress(AttributeError, TypeError):
        kernels = {
            type(m.quant_method).__name__ + _kernel(m.quant_method)
            for m in runner.model.modules()  # type: ignore[union-attr]
            if getattr(m, "quant_method", None) is not None
        }
        facts["layer_methods"] = sorted(kernels)
    with suppress(ImportError, AttributeError, RuntimeError):
        import torch

        if torch.cuda.is_available():
            facts["gpu"] = torch.cuda.get_device_name()
            facts["gpu_memory_allocated_bytes"] = torch.cuda.memory_allocated()
    return facts


def _kernel(method: Any) -> str:
    kernel = getattr(method, "fp8_linear", None)
    return "" if kernel is None else f"/{type(kernel).__name__}"


def counters() -> dict[str, int]:
    """Return how often this process compiled or captured, by kind; ``kernel:NAME`` for kernels built at run time."""
    counts = {f"kernel:{name}": n for name, n in _kernels.items()}
    with suppress(ImportError):
        from vllm.compilation.counter import compilation_counter

        found = asdict(compilation_counter)
        counts |= {name: found[name] for name in COMPILATIONS if name in found}
    return counts


def _count_kernels() -> None:
    """Count what vLLM's monitor of just-in-time kernels sees (it logs each kernel once only)."""
    try:
        from vllm.utils import jit_monitor
    except ImportError:
        return
    inner = getattr(jit_monitor, "_handle_jit_event", None)
    if inner is None or getattr(inner, "mlperf_llama", False):
        return

    def counted(*, fn_name: str, **rest: Any) -> None:
        _kernels[fn_name] = _kernels.get(fn_name, 0) + 1
        inner(fn_name=fn_name, **rest)

    counted.mlperf_llama = True  # type: ignore[attr-defined]
    jit_monitor._handle_jit_event = counted


def publish(path: Path, value: Any) -> bool:
    """Replace a small JSON file. False if the owner has removed the folder: the engine is being closed."""
    part = path.with_suffix(".part")
    try:
        part.write_text(json.dumps(value))
        part.replace(path)
    except OSError:
        return False
    return True


def _publish_counters(path: Path) -> None:
    while publish(path, {"time": time.time(), "counters": counters(), "launches": vllm_launches.sums}):
        time.sleep(INTERVAL_S)


def _follow(owner: int) -> None:
    """Wait for the end of process ``owner``, then end this one and, where vLLM put one between, its core process."""
    parent = os.getppid()
    try:
        handle = os.pidfd_open(owner)
    except ProcessLookupError:
        pass
    except (AttributeError, OSError):
        while _exists(owner):
            time.sleep(INTERVAL_S)
    else:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll()
    if parent != owner and os.getppid() == parent:
        with suppress(ProcessLookupError):
            os.kill(parent, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _start() -> None:
    _count_kernels()
    vllm_start.watch()
    vllm_launches.watch()
    with suppress(ImportError):
        from sut.engines import vllm_gemm

        vllm_gemm.register()
    with suppress(ImportError):
        from sut.engines import vllm_attention, vllm_models

        vllm_models.register()
        vllm_attention.register()
    owner = int(os.environ.get(OWNER, "0"))
    if owner in (0, os.getpid()):
        return  # the engine runs in its owner's process
    threading.Thread(target=_follow, args=(owner,), daemon=True, name="follow-owner").start()
    if state := os.environ.get(STATE):
        threading.Thread(
            target=_publish_counters, args=(Path(state) / f"{os.getpid()}.json",), daemon=True, name="publish-counters"
        ).start()


_start()
