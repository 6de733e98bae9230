"""Where the workers of a system are and how they are reached: processes of this machine, or places on a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.config import RunConfig
from harness.workers import plan_workers
from sut.messages import WorkerSpec
from sut.supervisor import SupervisorOptions
from sut.workers.base import WorkerPool


@dataclass(frozen=True, kw_only=True)
class Wire:
    """``bind``: where the hub listens. ``curve_keys``: the hub's pair, where the wire leaves the machine."""

    pool: WorkerPool
    specs: list[WorkerSpec]
    bind: str
    curve_keys: tuple[bytes, bytes] | None = None


def connect(config: RunConfig, *, run_dir: Path, socket: Path) -> Wire:
    """Plan the workers; none is started yet. ``socket``: of the wire on this machine.

    Raises ``EnvironmentFault`` for a cluster or GPUs that are not there.
    """
    if config.cluster.address == "local":
        from sut.workers.local import LocalPool

        specs = plan_workers(config, run_dir=run_dir, endpoint="")
        return Wire(pool=LocalPool(), specs=specs, bind=f"ipc://{socket}")
    from harness.session.cluster import make_cluster

    pool, specs, bind, curve_keys = make_cluster(config, run_dir=run_dir)
    return Wire(pool=pool, specs=specs, bind=bind, curve_keys=curve_keys)


def plan(config: RunConfig, *, run_dir: Path) -> tuple[list[WorkerSpec], tuple[bytes, bytes] | None]:
    """The workers of several dispatching processes, which will each :func:`join`, and the pair of keys of their hubs.

    Raises like :func:`connect`, and ``UserError`` for what cannot be split.
    """
    if config.cluster.address == "local":
        return plan_workers(config, run_dir=run_dir, endpoint=""), None
    from harness.session.cluster import plan_cluster

    return plan_cluster(config, run_dir=run_dir)


def join(config: RunConfig, *, specs: list[WorkerSpec], socket: Path) -> tuple[WorkerPool, str]:
    """In a dispatching process: the pool for these of the workers, and where their hub listens."""
    if config.cluster.address == "local":
        from sut.workers.local import LocalPool

        return LocalPool(), f"ipc://{socket}"
    from harness.session.cluster import join_cluster

    return join_cluster(config, workers=len(specs))


def supervisor_options(config: RunConfig) -> SupervisorOptions:
    """When a worker counts as lost, and how often it is started again."""
    workers = config.workers
    return SupervisorOptions(
        start_timeout_s=workers.start_timeout_s,
        heartbeat_timeout_s=workers.heartbeat_timeout_s,
        stall_timeout_s=workers.stall_timeout_s,
        max_restarts=workers.max_restarts,
        placement_timeout_s=config.cluster.placement_timeout_s,
    )
