"""An actor on a node that answers for it: pre-flight, clock, hardware counters. Takes no resources of Ray's."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.cluster.link import Echo
from harness.cluster.said import in_words
from sut.workers.ray_host import node_name


@ray.remote(num_cpus=0)
class NodeActor:
    def __init__(self) -> None:
        self._echo: Echo | None = None

    def name(self) -> str:
        return node_name()

    def now(self) -> float:
        """Unix time on this node."""
        return time.time()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What ``function``, which can be imported here too, returns on this node."""
        return function(*arguments)

    def listen(self, address: str) -> tuple[int, bytes]:
        """Be ready to have the way here measured: port and word."""
        self._echo = Echo(address)
        return self._echo.port, self._echo.word

    def hang_up(self) -> None:
        if self._echo is not None:
            self._echo.close()

    def sample(self) -> Any:
        """A :class:`harness.monitor.NodeSample` of this node."""
        from harness.monitor import sample_node

        return sample_node(node_name())


def names_of(nodes: Sequence[Mapping[str, Any]], called: Mapping[str, str]) -> dict[str, str]:
    """A name for each node, by its id. ``called``: what each calls itself; where two share a name (a head and a worker
    on one machine), or one did not answer, its address tells which it is."""
    often = Counter(called.values())
    found = {}
    for node in nodes:
        name, address = called.get(node["NodeID"]), str(node["NodeManagerAddress"])
        found[node["NodeID"]] = address if name is None else name if often[name] == 1 else f"{name}-{address}"
    return found


def actors(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    """An actor on each of ``nodes`` (as ``ray.nodes()`` gives them), by the node's id."""

    def on(node: str) -> Any:
        options = NodeActor.options  # type: ignore[attr-defined]
        return options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote()

    return {n["NodeID"]: on(n["NodeID"]) for n in nodes}


def ask(futures: Mapping[str, Any], timeout_s: float) -> tuple[dict[str, Any], dict[str, str]]:
    """Answers by key, and why there is none by key. Waits ``timeout_s`` seconds at most, for all together."""
    ray.wait(list(futures.values()), num_returns=len(futures), timeout=timeout_s)
    answers, silent = {}, {}
    for key, future in futures.items():
        try:
            answers[key] = ray.get(future, timeout=0.1)
        except ray.exceptions.GetTimeoutError:
            silent[key] = f"no answer within {timeout_s:.0f} s"
        except ray.exceptions.RayError as error:
            silent[key] = in_words(error)
    return answers, silent


def clock_offsets(by_node: Mapping[str, Any]) -> dict[str, float]:
    """Seconds by which each node's clock is ahead of ours: of five round trips the shortest."""
    offsets = {}
    for key, actor in by_node.items():
        best = float("inf")
        for _ in range(5):
            sent = time.time()
            there = float(ray.get(actor.now.remote(), timeout=10))
            took = time.time() - sent
            if took < best:
                best, offsets[key] = took, there - sent - took / 2
    return offsets
