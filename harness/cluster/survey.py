"""The nodes of a cluster before anything runs on them: their names, addresses, clocks, and the ways between them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.cluster.connect import connect, describe_nodes, worker_resources
from harness.cluster.link import Way, measure
from harness.config import RunConfig
from mlperf_llama_base.errors import EnvironmentFault
from mlperf_llama_base.node import node_name

ANSWER_S = 60.0
TRIPS = 9
ALL_PAIRS = 4  # nodes; beyond that only the ways from the machine with LoadGen are measured


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """A node. ``facts``: what the function that was asked returned there; None with the reason in ``silent``.

    ``offset_s``: its clock is ahead of ours by that, known to ``error_s``.
    """

    name: str
    address: str
    facts: Any = None
    silent: str | None = None
    offset_s: float | None = None
    error_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Ways:
    """What was measured, by the names of both ends; and why a way was not."""

    found: dict[tuple[str, str], Way] = field(default_factory=dict)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)


def survey(config: RunConfig, ask: Callable[[str, str], Any]) -> tuple[list[Surveyed], Ways]:
    """Every living node that can hold a worker. ``ask``: is called on each with its name and address; must be
    importable there.

    Raises ``EnvironmentFault`` if there is no cluster, or none of its nodes has room.
    """
    here = connect(config.cluster.address, bind=config.cluster.bind)
    from harness.cluster import node as actor
    from sut.workers.ray import worker_nodes

    need = worker_resources(config)
    nodes = worker_nodes(need)
    if not nodes:
        raise EnvironmentFault(f"no node has room for a worker with {need}: {describe_nodes()}")
    by_id = actor.actors(nodes)
    called, silent = actor.ask({i: a.name.remote() for i, a in by_id.items()}, ANSWER_S)
    names = actor.names_of(nodes, called)
    address = {n["NodeID"]: str(n["NodeManagerAddress"]) for n in nodes}
    asked = {i: by_id[i].call.remote(ask, names[i], address[i]) for i in called}
    facts, unable = actor.ask(asked, ANSWER_S)
    clocks = {i: _clock(by_id[i]) for i in called}
    found = [
        Surveyed(
            name=names[i],
            address=address[i],
            facts=facts.get(i),
            silent=silent.get(i) or unable.get(i),
            offset_s=clocks[i][0] if i in clocks else None,
            error_s=clocks[i][1] if i in clocks else None,
        )
        for i in by_id
    ]
    return found, _ways(here, {names[i]: (address[i], by_id[i]) for i in called})


def _clock(actor: Any) -> tuple[float, float]:
    """How far a node's clock is ahead of ours, and how exactly that is known; of some round trips the shortest."""
    import ray

    trips = []
    for _ in range(TRIPS):
        sent = time.time()
        there = float(ray.get(actor.now.remote(), timeout=ANSWER_S))
        took = time.time() - sent
        trips.append((took, there - sent - took / 2))
    took, offset = min(trips)
    return offset, took / 2


def _ways(here: str, nodes: Mapping[str, tuple[str, Any]]) -> Ways:
    """From this machine to every other node, one after the other; among few nodes every pair."""
    ways = Ways()
    mine = next((name for name, (address, _) in nodes.items() if address == here), node_name())
    pairs = [(mine, name) for name in nodes if name != mine]
    if len(nodes) <= ALL_PAIRS:
        pairs += [pair for pair in itertools.combinations(nodes, 2) if mine not in pair]
    for source, target in pairs:
        address, listener = nodes[target]
        try:
            ways.found[source, target] = _way(address, listener, None if source == mine else nodes[source][1])
        except Exception as error:  # noqa: BLE001  Ray's, or the socket's: a way that cannot be measured ends nothing
            ways.failed[source, target] = " ".join(str(error).split())[-200:]
    return ways


def _way(address: str, listener: Any, caller: Any) -> Way:
    import ray

    port, word = ray.get(listener.listen.remote(address), timeout=ANSWER_S)
    try:
        if caller is None:
            return measure(address, port, word)
        way: Way = ray.get(caller.call.remote(measure, address, port, word), timeout=ANSWER_S)
        return way
    finally:
        listener.hang_up.remote()
