"""Who did how much at which time: the nodes of one test beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.report.charts import Line, line_chart
from harness.report.document import Chart
from harness.report.scale import Floats, edges_over
from harness.report.timeline import Lane, lanes_chart
from harness.rundir.events import Events
from harness.rundir.execution_results import ClusterResult
from harness.rundir.record import RunRecord
from harness.rundir.tokens import token_rate
from harness.text import number
from mlperf_llama_base.errors import UserError

LINES = 4  # nodes that get a line each; of more, the mean and the range are drawn
BINS = 60
SAMPLES_A_BIN = 8


@dataclass(frozen=True, kw_only=True)
class NodeSamples:
    """The samples that a node completed. ``start``: seconds from the first node's start to its test's. ``seconds``:
    that the test lasted, which its rates are over. ``capacity``: samples that each worker works on at once.
    """

    node: str
    events: Events
    seconds: float
    start: float = 0.0
    capacity: int | None = None

    @property
    def mean(self) -> float:
        """Tokens a second, as the table of the nodes has it."""
        return float(self.events.output_tokens.sum()) / self.seconds if self.seconds else 0.0


def of_result(root: Path, result: ClusterResult) -> list[NodeSamples]:
    """From the run directories below ``root``, if they are still there; of a run that cannot be read nothing."""
    found = []
    for directory in result.directories:
        own = [node for node in result.nodes if node.directory == directory]
        record = RunRecord(root / directory)
        start = next((node.start_s for node in own if node.start_s is not None), 0.0)
        try:
            alone = own[0].node if len(own) == 1 and len(result.directories) > 1 else None
            found += of_run(record, node=alone, start=start or 0.0)
        except UserError:
            continue
    return found


def of_run(record: RunRecord, *, node: str | None = None, start: float = 0.0) -> list[NodeSamples]:
    """``node``: the run is all its own; None: one LoadGen, the samples by the node of their worker."""
    events = record.events
    if events is None or not len(events):
        return []
    if node is not None:
        return [NodeSamples(node=node, events=events, seconds=events.duration, start=start, capacity=record.capacity)]
    by_node: dict[str, list[int]] = {}
    for worker in record.ran.workers:
        by_node.setdefault(worker.node or "?", []).append(int(worker.id))
    parts = [
        NodeSamples(node=name, events=events.of(ids), seconds=events.duration, start=start, capacity=record.capacity)
        for name, ids in by_node.items()
    ]
    return [part for part in parts if len(part.events)]


def throughput_chart(nodes: Sequence[NodeSamples], part: str) -> Chart | None:
    """Tokens made a second, a line for each node; of many their mean and range. None of too few samples."""
    edges = _edges(nodes)
    if edges is None:
        return None
    middle = (edges[:-1] + edges[1:]) / 2
    rows = np.array([token_rate(n.events, edges - n.start, capacity=n.capacity) for n in nodes])
    if len(nodes) <= LINES:
        lines = [
            Line(name=n.node, x=middle, y=row, tone=at) for at, (n, row) in enumerate(zip(nodes, rows, strict=True), 1)
        ]
    else:
        lines = [
            Line(
                name=f"mean of {len(nodes)} nodes, and from the lowest to the highest",
                x=middle,
                y=rows.mean(axis=0),
                low=rows.min(axis=0),
                high=rows.max(axis=0),
            )
        ]
    means = ", ".join(f"{n.node} {number(n.mean)}" for n in nodes[:LINES])
    return line_chart(
        title=f"Throughput of each node, {part}",
        x_label="seconds since the first start",
        y_label="tokens/s",
        description=f"means: {means}" + (" and more" if len(nodes) > LINES else ""),
        lines=lines,
    )


def busy_chart(nodes: Sequence[NodeSamples], part: str) -> Chart | None:
    """Requests that each node had in hand, over time. None of too few samples."""
    edges = _edges(nodes)
    if edges is None:
        return None
    middle = (edges[:-1] + edges[1:]) / 2
    lanes = [Lane(name=n.node, level=_in_hand(n, middle)) for n in nodes]
    ends = {n.node: n.start + n.events.duration for n in nodes}
    first, last = min(ends, key=lambda name: ends[name]), max(ends, key=lambda name: ends[name])
    done = [f"{name} was done after {ends[name]:,.1f} s" for name in dict.fromkeys((first, last))]
    return lanes_chart(
        title=f"Who was busy, {part}",
        x_label="seconds since the first start",
        edges=edges,
        lanes=lanes,
        description=f"requests in hand, the fuller the colour the more; {', '.join(done)}",
    )


def _in_hand(node: NodeSamples, at: Floats) -> Floats:
    begun, ended = np.sort(node.events.dispatch + node.start), np.sort(node.events.complete + node.start)
    count = np.searchsorted(begun, at, side="right") - np.searchsorted(ended, at, side="right")
    return np.asarray(count, dtype=np.float64)


def _edges(nodes: Sequence[NodeSamples]) -> Floats | None:
    """Bins that hold a few samples of each node."""
    if not nodes:
        return None
    fewest = min(len(n.events) for n in nodes)
    if fewest < 2:
        return None
    end = max(n.start + n.events.duration for n in nodes)
    return edges_over(0.0, end, int(np.clip(fewest // SAMPLES_A_BIN, 4, BINS)))
