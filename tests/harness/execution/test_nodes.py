"""What a cluster is called, and what a pre-flight says of each node."""

from __future__ import annotations

from harness.execution.nodes import Nodes, by_number, cluster_kind, note_preflight
from harness.preflight.base import Finding, Status
from harness.rundir.execution import Infrastructure, NodeProbe


def test_the_kind_of_cluster_as_found() -> None:
    assert cluster_kind({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "SLURM_JOB_ID": "7"}) == "Kubernetes"
    assert cluster_kind({"SLURM_JOB_ID": "7"}) == "Slurm"
    assert cluster_kind({}) == "bare metal"


def test_nodes_are_told_in_the_order_of_their_numbers() -> None:
    assert sorted(["node-10", "b", "node-9", "node-a", "7"], key=by_number) == ["7", "b", "node-9", "node-10", "node-a"]


def test_each_node_has_the_worst_of_its_own_checks() -> None:
    probes = [NodeProbe(node=name, reachable=True) for name in ("node-1", "node-10", "node-2")]
    nodes = Nodes(kind="", nodes=[], infrastructure=Infrastructure(probes=probes), names=[])
    findings = [
        Finding(check="node-1: clock", status=Status.WARN, found="not synchronised", advice=""),
        Finding(check="node-10: model", status=Status.FAIL, found="other weights", advice=""),
        Finding(
            check="nodes: model files",
            status=Status.FAIL,
            found="node-2 has 12; the other 2 node(s) have 34",
            advice="",
        ),
    ]
    note_preflight(nodes, findings)
    assert [(p.node, p.preflight, p.reason) for p in probes] == [
        ("node-1", "warn", None),
        ("node-10", "fail", "node-10: model: other weights"),
        ("node-2", "fail", "nodes: model files: node-2 has 12; the other 2 node(s) have 34"),
    ]
