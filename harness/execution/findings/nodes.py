"""The machines and the way between them: within reach, their own machines, alike, of one time?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from harness.preflight.nodes import CLOCK_FAIL_S, CLOCK_WARN_S
from harness.rundir.execution import OTHER_MODEL, ClusterNode, ExecutionRecord
from harness.rundir.execution_results import Finding
from harness.text import number

SLOW_RTT_MS = 2.0  # within one machine room it is a tenth of that
SLOW_MB_S = 100.0  # a gigabit


def unreachable(record: ExecutionRecord) -> Iterator[Finding]:
    """Nodes that gave no answer, or failed their pre-flight."""
    for probe in record.infrastructure.probes:
        if not probe.reachable:
            text = f"{probe.node} could not be reached: {probe.reason or 'no answer'}."
        elif probe.preflight == "fail":
            text = f"{probe.node} failed its pre-flight: {probe.reason or 'see its checks'}."
        else:
            continue
        yield Finding(
            rule="node-unfit",
            severity="critical",
            topic="correctness",
            text=text,
            figures={"reachable": str(probe.reachable).lower(), "preflight": probe.preflight},
            advice=f"Look at {probe.node}: mlperf-llama preflight there says what it lacks.",
            node=probe.node,
        )


def shared_processors(record: ExecutionRecord) -> Iterator[Finding]:
    """Nodes that are one machine: namespaces or containers which run on the same processors."""
    for these in sharing(record.environment.nodes):
        common = set.intersection(*(set(node.cpus) for node in these))
        names = " and ".join(node.name for node in these)
        on_gpus = all(node.gpus for node in these)
        yield Finding(
            rule="shared-processors",
            severity="note" if on_gpus else "warning",
            topic="measurement",
            text=f"{names} are one machine and share its {number(len(common))} processor(s): each has them all while "
            "it works alone, and a part of them while all work.",
            figures={"nodes": len(these), "processors_shared": len(common)},
            advice="Run on separate machines, or give each node processors of its own (a cpuset); what this run "
            "says of scaling is about sharing processors, not about the cluster.",
        )


def shares_of_one_machine(record: ExecutionRecord) -> Iterator[Finding]:
    """Several LoadGens on one machine, whose engines compute on its processors."""
    result, nodes = record.result("coordinated"), record.environment.nodes
    if len(nodes) != 1 or result is None or result.gpus or result.workers < 2:
        return
    names = " and ".join(node.node for node in result.nodes)
    yield Finding(
        rule="shared-processors",
        severity="warning",
        topic="measurement",
        text=f"{names} are shares of one machine, whose {number(len(nodes[0].cpus))} processor(s) they share: the "
        "baseline has them all.",
        figures={"workers": result.workers, "processors_shared": len(nodes[0].cpus)},
        advice="What this run says of scaling is about sharing processors; use one GPU for each worker, or more "
        "machines.",
    )


def sharing(nodes: list[ClusterNode]) -> list[list[ClusterNode]]:
    """Groups of nodes on one kernel whose sets of processors overlap."""
    groups: list[list[ClusterNode]] = []
    for node in nodes:
        for group in groups:
            if any(_overlap(node, other) for other in group):
                group.append(node)
                break
        else:
            groups.append([node])
    return [group for group in groups if len(group) > 1]


def _overlap(one: ClusterNode, other: ClusterNode) -> bool:
    return one.machine is not None and one.machine == other.machine and not set(one.cpus).isdisjoint(other.cpus)


def unlike_nodes(record: ExecutionRecord) -> Iterator[Finding]:
    """A node with other hardware or another driver than most."""
    nodes = record.environment.nodes
    facts = {
        "GPUs": {node.name: ", ".join(sorted(gpu.name for gpu in node.gpus)) or None for node in nodes},
        "driver": {node.name: node.gpu_driver for node in nodes},
        "processor": {node.name: node.cpu for node in nodes},
        "processors": {node.name: str(len(node.cpus)) if node.cpus else None for node in nodes},
    }
    for what, by_node in facts.items():
        known = {node: value for node, value in by_node.items() if value is not None}
        if len(set(known.values())) < 2:
            continue
        usual, _ = Counter(known.values()).most_common(1)[0]
        odd = {node: value for node, value in known.items() if value != usual}
        yield Finding(
            rule="unlike-nodes",
            severity="warning",
            topic="performance",
            text=f"The nodes differ in {what}: most have {usual}, but "
            + "; ".join(f"{node} has {value}" for node, value in odd.items())
            + ".",
            figures={**known},
            advice=f"Expect {', '.join(odd)} to work at another speed, or make the nodes alike.",
            node=next(iter(odd)) if len(odd) == 1 else None,
        )


def other_model(record: ExecutionRecord) -> Iterator[Finding]:
    """A node whose LoadGen found other files where the model lies: its answers are another model's."""
    for result in record.results:
        known = {node.node: node.model for node in result.nodes if node.model is not None}
        if len(set(known.values())) < 2:
            continue
        digest, count = Counter(known.values()).most_common(1)[0]
        odd = [node for node, found in known.items() if found != digest]
        others = record.result("distributed") if result.part == "coordinated" else None
        unsure = count * 2 <= len(known)
        which = f"{' and '.join(known)} have different files" if unsure else f"{', '.join(odd)} has other files"
        yield Finding(
            rule=OTHER_MODEL,
            severity="critical",
            topic="correctness",
            text=f"{result.part}: {which} where the model lies: they did not run the same model"
            + ("." if others is None else f", nor did they in the {others.part} benchmark."),
            figures={node: found[:12] for node, found in known.items()},
            advice="Copy the model anew, so that its files are the same on every node (the pre-flight compares them).",
            part=result.part,
            node=None if unsure or len(odd) > 1 else odd[0],
        )


def clocks_apart(record: ExecutionRecord) -> Iterator[Finding]:
    """A clock that is off by more than its measurement can be, and by more than the limit."""
    for probe in record.infrastructure.probes:
        offset, error = probe.clock_offset_ms, probe.clock_error_ms or 0.0
        if offset is None or abs(offset) - error <= CLOCK_WARN_S * 1e3:
            continue
        yield Finding(
            rule="clocks-apart",
            severity="critical" if abs(offset) > CLOCK_FAIL_S * 1e3 else "warning",
            topic="measurement",
            text=f"The clock of {probe.node} is {abs(offset):,.0f} ms {'ahead' if offset > 0 else 'behind'} "
            f"(measured to {error:,.1f} ms).",
            figures={"clock_offset_ms": offset, "clock_error_ms": probe.clock_error_ms},
            advice=f"Synchronise the clock of {probe.node} (chrony, NTP). The common start allows for the offset; "
            "times in its logs are off by it.",
            node=probe.node,
        )


def slow_links(record: ExecutionRecord) -> Iterator[Finding]:
    """Ways between nodes that are slower than a machine room's."""
    for link in record.infrastructure.links:
        slow = []
        if link.rtt_ms is not None and link.rtt_ms > SLOW_RTT_MS:
            slow.append(f"a message there and back takes {link.rtt_ms:.1f} ms")
        if link.bandwidth_mb_s is not None and link.bandwidth_mb_s < SLOW_MB_S:
            slow.append(f"it carries {link.bandwidth_mb_s:,.0f} MB/s")
        if slow:
            yield Finding(
                rule="slow-link",
                severity="warning",
                topic="performance",
                text=f"The way from {link.source} to {link.target} is slow: {' and '.join(slow)}.",
                figures={"rtt_ms": link.rtt_ms, "bandwidth_mb_s": link.bandwidth_mb_s},
                advice="Use the fast network between the nodes: --set cluster.bind=ADDRESS chooses it.",
                node=link.target,
            )
