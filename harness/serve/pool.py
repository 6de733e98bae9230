"""The workers behind the endpoint: those of a run, with a hub that takes requests instead of LoadGen's samples."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.config import RunConfig, Scenario
from harness.session.wire import connect, supervisor_options
from mlperf_llama_base import orphans
from mlperf_llama_base.errors import EnvironmentFault, HarnessError
from mlperf_llama_base.scratch import ScratchFolder
from sut import engines
from sut.engines.facts import ModelUse
from sut.policies import make_order, make_policy
from sut.served import ServedDispatcher
from sut.serving import News, ServingHub
from sut.supervisor import State

SOCKET = "wire"
GRACE_S = 3.0


def for_serving(config: RunConfig) -> RunConfig:
    """The configuration as a server needs it: first tokens are reported, and a model is there.

    Raises ``UserError`` for an engine or an argument of it that cannot work.
    """
    config = config.model_copy(deep=True)
    config.scenario = Scenario.SERVER
    path = config.model.path
    if path is None and engines.find(config.engine.name).model is ModelUse.LOADED:
        from harness import demo

        config.model.path = str(demo.demo_model())
    elif path and Path(path).exists():
        config.model.path = str(Path(path).resolve())
    return config


@contextlib.contextmanager
def started(config: RunConfig, *, run_dir: Path, news: Callable[[News | None], None]) -> Iterator[ServingHub]:
    """Start the workers for a block; they are loading still. No process of ours is left afterwards.

    Raises ``UserError`` and ``EnvironmentFault`` for a cluster, GPUs or an engine that are not fit.
    """
    orphans.end_abandoned()
    scratch = ScratchFolder(socket=len(SOCKET))
    try:
        wire = connect(config, run_dir=run_dir, socket=scratch.path / SOCKET)
        hub = ServingHub(
            news=news,
            dispatcher=_dispatcher(config),
            pool=wire.pool,
            specs=wire.specs,
            options=supervisor_options(config),
            bind=wire.bind,
            curve_keys=wire.curve_keys,
        )
        hub.start()
        try:
            yield hub
        finally:
            with contextlib.suppress(HarnessError):
                hub.stop()
            wire.pool.close(GRACE_S)
    finally:
        scratch.remove()
        if config.cluster.address != "local":
            from harness import cluster

            cluster.disconnect()


def _dispatcher(config: RunConfig) -> ServedDispatcher:
    dispatch = config.dispatch
    return ServedDispatcher(
        policy=make_policy(
            dispatch.policy, offline=False, backlog=dispatch.backlog, prefill_weight=dispatch.prefill_weight
        ),
        order=make_order("issue"),  # whoever asks decides
        block=1,
        max_attempts=config.workers.max_attempts,
        first_tokens=True,
    )


def is_ready(config: RunConfig, hub: ServingHub) -> bool:
    """Whether as many workers as are wanted have been loaded. Raises what keeps them from it."""
    if hub.failure:
        raise hub.failure
    workers = hub.workers
    wanted = min(config.cluster.min_workers or len(workers), len(workers))
    if hub.dead > len(workers) - wanted:
        raise hub.of_input() or EnvironmentFault(
            f"workers could not be started: {'; '.join(hub.missing())} (see workers/*.log)"
        )
    return hub.ready >= wanted


def states(hub: ServingHub) -> str:
    """What the workers are doing, in a few words."""
    views = list(hub.workers.values())
    return ", ".join(f"{sum(v.state is s for v in views)} {s.value}" for s in State if any(v.state is s for v in views))
