"""Workers of a Ray cluster for a session: where they may run, and the keys of this run's wire."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import zmq

from harness import cluster
from harness.config import RunConfig
from harness.workers import worker_spec
from mlperf_llama_base.errors import EnvironmentFault, UserError
from sut.messages import WorkerSpec
from sut.workers.base import WorkerPool

Wire = tuple[WorkerPool, list[WorkerSpec], str, tuple[bytes, bytes]]


def make_cluster(config: RunConfig, *, run_dir: Path) -> Wire:
    """Connect to Ray and plan the workers: ``(pool, specs, address to bind, the server's key pair)``.

    Without ``workers.count`` there is a worker for every place in the cluster, also for those that are added later.
    Every worker gets a key pair of its own, made for this run. Raises ``EnvironmentFault`` if the cluster is not there
    or has too little room.
    """
    address = cluster.connect(config.cluster.address, bind=config.cluster.bind)
    count = _places(config)
    from sut.workers.ray import RayOptions, RayPool

    new_spec, keys = _specs(config, run_dir)
    pool = RayPool(
        RayOptions(
            strategy=config.cluster.strategy,
            resources=cluster.worker_resources(config),
            workers=count,
            new_spec=None if config.workers.count or config.cluster.strategy.startswith("STRICT") else new_spec,
        )
    )
    return pool, [new_spec(i) for i in range(count)], _bind(address), keys


def plan_cluster(config: RunConfig, *, run_dir: Path) -> tuple[list[WorkerSpec], tuple[bytes, bytes]]:
    """The same workers for several dispatching processes, each of which will :func:`join_cluster`: their number is
    that of the places there are now. Raises ``UserError`` for a strategy that binds all workers together.
    """
    if config.cluster.strategy.startswith("STRICT"):
        raise UserError(
            f"cluster.strategy {config.cluster.strategy} places all workers as one group, which dispatch.processes "
            f"{config.dispatch.processes} splits: give SPREAD or PACK, or dispatch.processes=1"
        )
    cluster.connect(config.cluster.address, bind=config.cluster.bind)
    try:
        count = _places(config)
    finally:
        cluster.disconnect()
    new_spec, keys = _specs(config, run_dir)
    return [new_spec(i) for i in range(count)], keys


def join_cluster(config: RunConfig, *, workers: int) -> tuple[WorkerPool, str]:
    """In a dispatching process: a pool for its ``workers``, and the address to bind."""
    address = cluster.connect(config.cluster.address, bind=config.cluster.bind)
    from sut.workers.ray import RayOptions, RayPool

    need = cluster.worker_resources(config)
    return RayPool(RayOptions(strategy=config.cluster.strategy, resources=need, workers=workers)), _bind(address)


def _places(config: RunConfig) -> int:
    """How many workers there will be. Raises ``EnvironmentFault`` if that is more than fit."""
    from sut.workers.ray import fits, worker_nodes

    need = cluster.worker_resources(config)
    room = sum(fits(node["Resources"], need) for node in worker_nodes(need))
    count = config.workers.count or room
    if not room or count > room:
        raise EnvironmentFault(
            f"the cluster has room for {room} worker(s) with {need}, {count or 'at least one'} wanted: "
            f"{cluster.describe_nodes()} (cluster.resources sets what a worker takes)"
        )
    return count


def _specs(config: RunConfig, run_dir: Path) -> tuple[Callable[[int], WorkerSpec], tuple[bytes, bytes]]:
    """What makes a worker's spec, and the server's key pair that all of them know."""
    public, secret = zmq.curve_keypair()

    def new_spec(number: int) -> WorkerSpec:
        spec = worker_spec(config, number, run_dir=run_dir)
        spec.curve_server_key = public
        spec.curve_public_key, spec.curve_secret_key = zmq.curve_keypair()
        return spec

    return new_spec, (public, secret)


def _bind(address: str) -> str:
    return f"tcp://[{address}]:*" if ":" in address else f"tcp://{address}:*"
