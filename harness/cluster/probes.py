"""Hardware counters of the other nodes while a run goes on, for the monitor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.cluster.connect import connect
from harness.config import RunConfig

if TYPE_CHECKING:
    from harness.monitor import NodeSample


def node_probes(config: RunConfig) -> list[Callable[[], NodeSample | None]]:
    """A probe for every other living node. A probe never waits: it returns the answer to the last question, or
    None while there is none."""
    connect(config.cluster.address, bind=config.cluster.bind)
    import ray

    from harness.cluster.node import actors

    here = ray.get_runtime_context().get_node_id()
    return [_probe(actor) for actor in actors([n for n in ray.nodes() if n["Alive"] and n["NodeID"] != here]).values()]


def _probe(actor: Any) -> Callable[[], NodeSample | None]:
    import ray

    asked: list[Any] = []

    def sample() -> NodeSample | None:
        answer: NodeSample | None = None
        if asked:
            if not ray.wait(asked, timeout=0)[0]:
                return None
            try:
                answer = ray.get(asked.pop(), timeout=1)
            except ray.exceptions.RayError:
                return None  # the node is gone; another question then gets the same answer
        asked.append(actor.sample.remote())
        return answer

    return sample
