"""Who takes part: the nodes of a cluster, or this machine alone, as each tells of itself, and the ways between them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.config import RunConfig
from harness.execution.node import describe_node
from harness.preflight import Status
from harness.preflight.base import Finding
from harness.rundir.execution import ClusterNode, Infrastructure, Link, NodeProbe
from mlperf_llama_base.node import IN_KUBERNETES, node_name

SLURM = ("SLURM_JOB_ID", "SLURM_JOB_NODELIST")


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """``kind``: of cluster. ``names``: of those that were asked to take part; none: this machine in shares, of which
    there are ``shares``.
    """

    kind: str
    nodes: list[ClusterNode]
    infrastructure: Infrastructure
    names: list[str]
    shares: int = 1

    @property
    def count(self) -> int:
        return max(1, len(self.names))

    @property
    def loadgens(self) -> int:
        """That the coordinated benchmark starts together: one on each node, or one for each share of this machine."""
        return max(self.count, self.shares)


def look_at_nodes(config: RunConfig) -> Nodes:
    """Ask every node. Raises ``EnvironmentFault`` if there is no cluster or no room on it."""
    if config.cluster.address != "local":
        return _of_cluster(config)
    from harness.workers import plan_workers

    workers = len(plan_workers(config, run_dir=Path(config.output), endpoint=""))
    here = describe_node(node_name(), None)
    probe = NodeProbe(node=here.name, reachable=True, clock_offset_ms=0.0, clock_error_ms=0.0)
    return Nodes(
        kind="one machine",
        nodes=[here],
        infrastructure=Infrastructure(probes=[probe]),
        names=[here.name] if workers == 1 else [],
        shares=workers,
    )


def _of_cluster(config: RunConfig) -> Nodes:
    from harness import cluster
    from harness.cluster.survey import survey

    found, ways = survey(config, describe_node)
    cluster.disconnect()
    found = sorted(found, key=lambda node: by_number(node.name))
    probes = [
        NodeProbe(
            node=node.name,
            reachable=node.silent is None,
            clock_offset_ms=None if node.offset_s is None else node.offset_s * 1e3,
            clock_error_ms=None if node.error_s is None else node.error_s * 1e3,
            reason=node.silent,
        )
        for node in found
    ]
    links = [
        Link(source=source, target=target, rtt_ms=way.rtt_s * 1e3, bandwidth_mb_s=way.bytes_per_s / 1e6)
        for (source, target), way in ways.found.items()
    ]
    links += [Link(source=source, target=target) for source, target in ways.failed]
    return Nodes(
        kind=cluster_kind(),
        nodes=[node.facts or ClusterNode(name=node.name, address=node.address) for node in found],
        infrastructure=Infrastructure(probes=probes, links=links),
        names=[node.name for node in found],
    )


def by_number(name: str) -> list[tuple[int, str]]:
    """What to sort names by, so that ``node-10`` comes after ``node-9``."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def cluster_kind(env: Mapping[str, str] = os.environ) -> str:
    """Who gave us the machines, by the marks that it leaves in a process's environment."""
    if env.get(IN_KUBERNETES):
        return "Kubernetes"
    return "Slurm" if any(env.get(name) for name in SLURM) else "bare metal"


def note_preflight(nodes: Nodes, findings: list[Finding]) -> None:
    """Into the probes: the worst of each node's own checks (``NODE: check``) and of the comparisons that name it, and
    what failed of them."""
    for probe in nodes.infrastructure.probes:
        own = [f for f in findings if _is_about(f, probe.node)]
        if len(nodes.infrastructure.probes) == 1:
            own = findings
        worst = max((f.status for f in own), key=lambda status: status.rank, default=Status.PASS)
        probe.preflight = str(worst)
        failed = [f"{f.check}: {f.found}" for f in own if f.status is Status.FAIL]
        if failed and probe.reason is None:
            probe.reason = failed[0]


def _is_about(finding: Finding, node: str) -> bool:
    if finding.check.startswith("nodes: "):
        return re.search(rf"(^|[;:] ){re.escape(node)} (has|is) ", finding.found) is not None
    return finding.check == f"node {node}" or finding.check.startswith(f"{node}: ")
