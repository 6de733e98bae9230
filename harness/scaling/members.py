"""Where the members of a coordinated benchmark run: here, or on the nodes of a Ray cluster, with the same calls."""

from __future__ import annotations

import io
import tarfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.scaling.member import Member
from harness.workers import wants_gpus
from mlperf_llama_base.errors import EnvironmentFault, RunError
from mlperf_llama_base.node import node_name
from sut.nvml import visible_gpus
from sut.workers.devices import gpu_name

CALL_S = 60.0


class Handle(ABC):
    """A member, wherever it is. A call that gets no answer raises ``RunError`` naming the member."""

    name: str

    @abstractmethod
    def call(self, method: str, *arguments: Any) -> Any: ...

    @abstractmethod
    def fetch(self, folder: Path) -> None:
        """Bring the run's files to ``folder``."""


class Place(ABC):
    """A node, or a share of this machine, that can run one LoadGen with its workers. ``kind``: of its first GPU."""

    name: str
    kind: str

    @abstractmethod
    def start(self, config: RunConfig, *, folder: Path, workers: int | None) -> Handle: ...


class _Here(Handle):
    def __init__(self, name: str, member: Member) -> None:
        self.name = name
        self._member = member

    def call(self, method: str, *arguments: Any) -> Any:
        return getattr(self._member, method)(*arguments)

    def fetch(self, folder: Path) -> None:
        assert folder == self._member.folder


class LocalPlace(Place):
    """A share of this machine: some of its GPUs, or a number of workers on its CPUs."""

    def __init__(self, name: str, *, gpus: list[str], workers: int) -> None:
        self.name = name
        self.gpus = gpus
        self.workers = workers
        self.kind = (gpu_name(gpus[0]) if gpus else None) or "CPU"

    def start(self, config: RunConfig, *, folder: Path, workers: int | None) -> Handle:
        tree = config.model_dump(mode="json")
        tree["workers"]["count"] = workers or self.workers
        env = {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {}
        return _Here(self.name, Member(tree, node=node_name(), folder=str(folder), env=env))


def local_places(config: RunConfig, *, groups: int | None) -> list[Place]:
    """This machine in ``groups`` equal shares, named ``NODE-share-0`` and so on; without a number, one for each GPU (or
    worker).
    """
    gpus = [gpu.token for gpu in visible_gpus()] if wants_gpus(config) else []
    size = config.workers.tensor_parallel
    total = config.workers.count or max(1, len(gpus) // size)
    count = groups or total
    if total % count or (gpus and total * size > len(gpus)):
        raise EnvironmentFault(
            f"{total} worker(s) on {len(gpus)} GPU(s) cannot be shared among {count} LoadGens: choose another --groups"
        )
    each, here = total // count, node_name()
    return [
        LocalPlace(
            f"{here}-share-{i}" if count > 1 else here,
            gpus=gpus[i * each * size : (i + 1) * each * size] if gpus else [],
            workers=each,
        )
        for i in range(count)
    ]


class _Remote(Handle):
    def __init__(self, name: str, actor: Any) -> None:
        self.name = name
        self._actor = actor

    def call(self, method: str, *arguments: Any) -> Any:
        import ray

        try:
            return ray.get(self._actor.call.remote(method, *arguments), timeout=CALL_S)
        except ray.exceptions.RayError as error:
            raise RunError(f"{self.name}{_why(error)}") from error

    def fetch(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(self.call("files"))) as archive:
            archive.extractall(folder, filter="data")


def _why(error: Exception) -> str:
    """What a failed call says of the node, to be put behind its name."""
    from ray import exceptions

    from harness.cluster.said import in_words, is_lost

    if isinstance(error, exceptions.GetTimeoutError):
        return f" gave no answer within {CALL_S:.0f} s"
    return f" was lost: {in_words(error)}" if is_lost(error) else f": {in_words(error)}"


class RayPlace(Place):
    """A node of the cluster: all of its GPUs, or as many workers as its resources hold."""

    def __init__(self, name: str, *, node: dict[str, Any], kind: str, workers: int) -> None:
        self.name = name
        self.kind = kind
        self._node = node
        self._workers = workers

    def start(self, config: RunConfig, *, folder: Path, workers: int | None) -> Handle:
        from harness.scaling.actor import start_member

        tree = config.model_dump(mode="json")
        tree["cluster"]["address"] = "local"
        tree["workers"]["count"] = workers or self._workers
        return _Remote(self.name, start_member(self._node, tree, self.name))


def cluster_places(config: RunConfig) -> list[Place]:
    """The cluster's nodes that can hold a worker. Raises ``EnvironmentFault`` if there is none."""
    from harness import cluster

    cluster.connect(config.cluster.address, bind=config.cluster.bind)
    from harness.cluster.node import actors, ask, names_of
    from sut.workers.ray import fits, worker_nodes

    need = cluster.worker_resources(config)
    nodes = worker_nodes(need)
    if not nodes:
        raise EnvironmentFault(f"no node has room for a worker with {need}: {cluster.describe_nodes()}")
    called, silent = ask({i: a.name.remote() for i, a in actors(nodes).items()}, CALL_S)
    if silent:
        raise EnvironmentFault(f"nodes do not answer: {silent}")
    names = names_of(nodes, called)
    share = None
    if config.workers.count:
        share, rest = divmod(config.workers.count, len(nodes))
        if rest or not share:
            raise EnvironmentFault(f"{config.workers.count} workers cannot be shared among {len(nodes)} nodes")
    return [
        RayPlace(names[n["NodeID"]], node=n, kind=kind_of_node(n), workers=share or fits(n["Resources"], need))
        for n in nodes
    ]


def kind_of_node(node: dict[str, Any]) -> str:
    """Ray's name of the node's accelerators, which it knows by itself."""
    kinds = [name.split(":", 1)[1] for name in node["Resources"] if name.startswith("accelerator_type:")]
    return kinds[0] if kinds else "CPU"
