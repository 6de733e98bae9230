"""Where it ran, and with what."""

from __future__ import annotations

from harness.report.document import Folded, Section, Table
from harness.report.sections.execution.words import gigabytes, text
from harness.rundir.execution import ClusterNode, ExecutionRecord
from harness.text import UNKNOWN, date, duration, number


def section(record: ExecutionRecord) -> Section:
    """The set-up, the nodes, the versions."""
    found = record.environment
    rows = [
        ["kind of cluster", text(found.cluster)],
        ["model", text(found.model) + ("" if found.is_llama_3_1_8b is not False else " (not Llama-3.1-8B-Instruct)")],
        ["precision", f"weights {text(found.precision)}, KV cache {text(found.kv_cache)}"],
        ["engine", text(found.engine)],
        ["data set", f"{text(found.dataset)}, {number(found.dataset_samples)} samples"],
        ["samples of a test", _samples(record)],
        ["longest input", _tokens(found.max_input_tokens)],
        ["output limit", f"{number(found.min_new_tokens)} to {_tokens(found.max_new_tokens)}"],
        ["benchmark round", f"MLPerf Inference {text(found.round)}"],
        ["date", date(record.time)],
        ["duration of everything", duration(record.duration_s)],
        ["command", text(record.command)],
    ]
    versions = [[name, text(version)] for name, version in sorted(found.versions.items())]
    main = [row for row in versions if row[0] in ("mlperf-llama", "loadgen") or row[0].startswith("engine ")]
    return Section(
        title="Environment",
        blocks=[
            Table(caption="Set-up", columns=["", ""], rows=[*rows, *(["version of " + n, v] for n, v in main)]),
            _nodes(found.nodes),
            Folded(summary="All versions", blocks=[Table(caption="Versions", columns=["", "version"], rows=versions)]),
        ],
    )


def _samples(record: ExecutionRecord) -> str:
    each = record.asked.samples_per_node
    if each is None:
        return "as many as profile and rules say"
    return f"{number(each)} of each {'node' if record.asked.nodes else 'worker, each a share of this machine'}"


def _tokens(count: int | None) -> str:
    return UNKNOWN if count is None else f"{count:,} tokens"


def _nodes(nodes: list[ClusterNode]) -> Table:
    return Table(
        caption="Nodes",
        columns=["node", "address", "processor", "processors", "memory", "GPUs", "GPU memory", "driver", "system"],
        numeric=frozenset({3, 4, 6}),
        rows=[
            [
                node.name,
                text(node.address),
                text(node.cpu),
                _processors(node),
                gigabytes(node.memory_bytes),
                _gpus(node),
                gigabytes(sum(gpu.memory_bytes or 0 for gpu in node.gpus) or None),
                text(node.gpu_driver),
                text(node.os),
            ]
            for node in nodes
        ],
    )


def _processors(node: ClusterNode) -> str:
    count = number(len(node.cpus) or node.threads)
    return count if node.cpu_limit is None else f"{count}, limited to {node.cpu_limit:g}"


def _gpus(node: ClusterNode) -> str:
    names = [gpu.name for gpu in node.gpus]
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names)) or "none"
