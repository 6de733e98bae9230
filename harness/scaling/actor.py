"""A member of a coordinated benchmark inside an actor on its node."""

from __future__ import annotations

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from harness.config import Tree
from harness.scaling.member import Member


@ray.remote(num_cpus=0)
class MemberActor:
    """Takes no resources of Ray's: the benchmark is meant to have the node to itself, all of its GPUs."""

    def __init__(self, tree: Tree, node: str) -> None:
        self._member = Member(tree, node=node, folder=None, env={})

    def call(self, method: str, *arguments: Any) -> Any:
        return getattr(self._member, method)(*arguments)


def start_member(node: dict[str, Any], tree: Tree, name: str) -> Any:
    gpus = int(node["Resources"].get("GPU", 0))
    options = MemberActor.options  # type: ignore[attr-defined]
    strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return options(scheduling_strategy=strategy, num_gpus=gpus).remote(tree, name)
