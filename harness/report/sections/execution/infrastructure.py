"""The nodes and the way between them, as measured; how much of them was used."""

from __future__ import annotations

from harness.report.document import Block, Section, Table, Text
from harness.report.sections.execution.words import gigabytes, of, percent, ratio, share, text
from harness.rundir.execution import ExecutionRecord, NodeProbe
from harness.rundir.execution_results import ClusterResult
from harness.text import UNKNOWN


def section(record: ExecutionRecord) -> Section:
    """Reachability, clocks, links, use."""
    found = record.infrastructure
    reached = sum(probe.reachable for probe in found.probes)
    blocks: list[Block] = [Text(text=f"Nodes reachable: {of(reached, len(found.probes) or None)}.")]
    if found.probes:
        blocks.append(_probes(found.probes))
    if found.links:
        rows = [[link.source, link.target, _ms(link.rtt_ms), _speed(link.bandwidth_mb_s)] for link in found.links]
        blocks.append(
            Table(
                caption="The way between nodes",
                columns=["from", "to", "round trip", "bandwidth"],
                numeric=frozenset({2, 3}),
                rows=rows,
            )
        )
    else:
        blocks.append(Text(text="The way between the nodes was not measured."))
    blocks += [_use(result) for result in record.in_detail]
    return Section(title="Infrastructure", blocks=blocks)


def _probes(probes: list[NodeProbe]) -> Table:
    return Table(
        caption="Nodes as the machine with the command sees them; a clock's offset is known to ±",
        columns=["node", "reachable", "pre-flight", "clock offset", "note"],
        numeric=frozenset({3}),
        rows=[
            [
                probe.node,
                "yes" if probe.reachable else "no",
                text(probe.preflight),
                _clock(probe),
                probe.reason or "",
            ]
            for probe in probes
        ],
    )


def _clock(probe: NodeProbe) -> str:
    if probe.clock_offset_ms is None:
        return UNKNOWN
    error = f" ± {probe.clock_error_ms:.2f}" if probe.clock_error_ms is not None else ""
    return f"{probe.clock_offset_ms:+.2f}{error} ms"


def _ms(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f} ms"


def _speed(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f} MB/s"


def _use(result: ClusterResult) -> Table:
    return Table(
        caption=f"Use during {result.part}: means over the test, memory at its highest",
        columns=[
            "node",
            "GPU compute",
            "GPU memory",
            "share",
            "processor",
            "busiest core",
            "memory",
            "sent",
            "received",
        ],
        numeric=frozenset(range(1, 9)),
        rows=[
            [
                node.node,
                percent(node.use.gpu_pct),
                gigabytes(node.use.gpu_memory_used_bytes),
                share(ratio(node.use.gpu_memory_used_bytes, node.use.gpu_memory_total_bytes)),
                percent(node.use.cpu_pct),
                percent(node.use.busiest_core_pct),
                gigabytes(node.use.memory_used_bytes),
                _rate(node.use.sent_mb_s),
                _rate(node.use.received_mb_s),
            ]
            for node in result.nodes
        ],
    )


def _rate(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.2f} MB/s"
