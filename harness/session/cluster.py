"""Workers of a Ray cluster for a session: where they may run, and the keys of this run's wire."""

from __future__ import annotations

from pathlib import Path

import zmq

from harness import cluster
from harness.config import RunConfig
from harness.workers import worker_spec
from mlperf_llama_base.errors import EnvironmentFault
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
    from sut.workers.ray import RayOptions, RayPool, fits, worker_nodes

    need = cluster.worker_resources(config)
    nodes = worker_nodes(need)
    room = sum(fits(node["Resources"], need) for node in nodes)
    count = config.workers.count or room
    if not room or count > room:
        raise EnvironmentFault(
            f"the cluster has room for {room} worker(s) with {need}, {count or 'at least one'} wanted: "
            f"{cluster.describe_nodes()} (cluster.resources sets what a worker takes)"
        )
    public, secret = zmq.curve_keypair()

    def new_spec(number: int) -> WorkerSpec:
        spec = worker_spec(config, number, run_dir=run_dir)
        spec.curve_server_key = public
        spec.curve_public_key, spec.curve_secret_key = zmq.curve_keypair()
        return spec

    pool = RayPool(
        RayOptions(
            strategy=config.cluster.strategy,
            resources=need,
            workers=count,
            new_spec=None if config.workers.count or config.cluster.strategy.startswith("STRICT") else new_spec,
        )
    )
    host = f"[{address}]" if ":" in address else address
    return pool, [new_spec(i) for i in range(count)], f"tcp://{host}:*", (public, secret)
