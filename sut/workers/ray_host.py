"""The actor on a node that holds one worker process. It speaks to nobody but the pool; no token passes through it."""

from __future__ import annotations

import contextlib
import platform
from collections import Counter

import msgspec
import ray

from mlperf_llama_base import child, typed
from mlperf_llama_base.errors import EnvironmentFault
from mlperf_llama_base.files import expanded
from mlperf_llama_base.node import NODE_VARIABLE, given_name
from mlperf_llama_base.scratch import ScratchFolder
from sut.messages import WorkerSpec
from sut.workers.local import launch

LOG_CHUNK = 64 << 10  # travels inside Ray's answer; more would go through the node's object store


class Location(msgspec.Struct):
    """Where an actor has been put."""

    node: str
    node_id: str
    address: str
    gpus: list[str]


def node_name() -> str:
    """Name of this node in logs and results: what somebody named it, its host name, or, where two nodes share that,
    its address."""
    named = given_name()
    if named:
        return named
    names = Counter(n["NodeManagerHostname"] for n in ray.nodes() if n["Alive"])
    name = platform.node()
    return name if names[name] <= 1 else str(ray.util.get_node_ip_address())


@ray.remote
class Host:
    """``run`` lasts as long as the worker process; the other calls are answered meanwhile."""

    def __init__(self) -> None:
        self._process: child.Child | None = None
        self._stopped = False
        self._folder = ScratchFolder("worker")
        self._log = self._folder.path / "worker.log"

    def location(self) -> Location:
        context = ray.get_runtime_context()
        return Location(node_name(), context.get_node_id(), ray.util.get_node_ip_address(), _gpus())

    def run(self, payload: bytes) -> tuple[int, str]:
        """Start the worker that ``payload`` (a spec) describes and wait for its end: exit status, and that in words."""
        spec = typed.from_msgpack(payload, WorkerSpec)
        spec.log_file = str(self._log)
        spec.gpus = _gpus()
        spec.env = spec.env | {NODE_VARIABLE: node_name()}
        if spec.gpus:
            names = "-".join(spec.gpus)
            with contextlib.suppress(EnvironmentFault):  # without a home there is no cache that outlives the worker
                spec.cache_dir = str(expanded("~/.cache/mlperf-llama/engine") / f"gpu-{names}")
        if self._stopped:
            return -9, child.exit_in_words(-9)
        self._process = launch(spec)
        if self._stopped:
            child.kill_group(self._process)
        code = self._process.wait()
        child.clean_up(self._process)
        return code, child.exit_in_words(code)

    def stop(self) -> None:
        """SIGKILL the worker and its children; also one that is just being started."""
        self._stopped = True
        if self._process is not None:
            child.kill_group(self._process)

    def log(self, offset: int) -> bytes:
        """Up to ``LOG_CHUNK`` bytes of the worker's log from ``offset``."""
        with contextlib.suppress(OSError), self._log.open("rb") as file:
            file.seek(offset)
            chunk = file.read(LOG_CHUNK)
            if self._process is not None and self._process.returncode is not None and len(chunk) < LOG_CHUNK:
                self._folder.remove()  # the pool has all of it
            return chunk
        return b""


def _gpus() -> list[str]:
    """The GPUs that Ray gave this actor: numbers, or UUIDs and MIG slices where the node was started with those."""
    return [str(i) for i in ray.get_gpu_ids()]
