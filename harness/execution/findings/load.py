"""What was left idle, and what was full: GPUs, processors, the process with LoadGen, the network."""

from __future__ import annotations

from collections.abc import Iterator

from harness.rundir.execution import ExecutionRecord
from harness.rundir.execution_results import ClusterResult, Finding, NodeResult
from harness.text import number

MEMORY_USED = 0.7  # of the GPUs' memory; engines that plan for throughput take 85 to 95 %
COMPUTE_PCT = 90.0
FULL_PCT = 90.0
BUSY_CORE_PCT = 98.0
LOADGEN_CORES = 0.9  # of one core: LoadGen and the dispatcher each have one thread that cannot be in two places
THROTTLED = 0.01  # of the readings
ELSEWHERE = ("null", "openai")  # engines that wait, or ask a server
NETWORK = 0.05  # of a request's time


def _each(record: ExecutionRecord) -> Iterator[tuple[ClusterResult, NodeResult]]:
    """Every node of every result that is told in detail."""
    for result in record.in_detail:
        yield from ((result, node) for node in result.nodes)


def idle_gpu_memory(record: ExecutionRecord) -> Iterator[Finding]:
    """GPU memory that was never used: the batch could be larger."""
    for result, node in _each(record):
        used, total = node.use.gpu_memory_used_bytes, node.use.gpu_memory_total_bytes
        if used is None or not total or used / total >= MEMORY_USED:
            continue
        yield Finding(
            rule="idle-gpu-memory",
            severity="warning",
            topic="performance",
            text=f"{result.part}: {node.node} used at most {used / 1e9:,.1f} of {total / 1e9:,.1f} GB of its GPU "
            f"memory ({100 * used / total:.0f} %): the batch could be larger.",
            figures={"gpu_memory_used_gb": used / 1e9, "gpu_memory_total_gb": total / 1e9, "share": used / total},
            advice="Raise the engine's batch (vLLM: engine.args.max_num_seqs and "
            "engine.args.gpu_memory_utilization), and "
            "issue enough samples to fill it; mlperf-llama tune finds the value.",
            part=result.part,
            node=node.node,
        )


def idle_gpus(record: ExecutionRecord) -> Iterator[Finding]:
    """GPUs that waited for work."""
    for result, node in _each(record):
        used = node.use.gpu_pct
        if used is None or used >= COMPUTE_PCT:
            continue
        yield Finding(
            rule="idle-gpus",
            severity="warning",
            topic="performance",
            text=f"{result.part}: the GPUs of {node.node} were busy {used:.0f} % of the test: they waited for work.",
            figures={"gpu_pct": used},
            advice="A larger batch, more samples, or a longer test (start and end count less); if the processor is "
            "full, see that first.",
            part=result.part,
            node=node.node,
        )


def saturated_processors(record: ExecutionRecord) -> Iterator[Finding]:
    """A node whose processors were full. With the engine on them that is the limit; with GPUs it starves them."""
    for result, node in _each(record):
        used = node.use.cpu_pct
        if used is None or used <= FULL_PCT:
            continue
        meaning, advice = _full(on_cpu=not node.gpus, engine=record.environment.engine)
        yield Finding(
            rule="processors-full",
            severity="warning" if node.gpus else "note",
            topic="performance",
            text=f"{result.part}: the processors of {node.node} were {used:.0f} % busy" + meaning,
            figures={"cpu_pct": used, "busiest_core_pct": node.use.busiest_core_pct},
            advice=advice,
            part=result.part,
            node=node.node,
        )


def _full(*, on_cpu: bool, engine: str | None) -> tuple[str, str]:
    """What full processors mean, and what to do."""
    if not on_cpu:
        return (
            ": they may starve the GPUs.",
            "End other processes, bind workers to their NUMA node, or put LoadGen on a machine of its own.",
        )
    if engine in ELSEWHERE:
        return (
            f", though the engine {engine} computes nothing on them: other processes took them.",
            "End other processes on this node.",
        )
    return (
        ": the engine computes on them, so they are the limit.",
        "End other processes on this node; beyond that, only a faster engine or more processors help.",
    )


def saturated_loadgen(record: ExecutionRecord) -> Iterator[Finding]:
    """The process that issues and dispatches everything took all that its thread can get."""
    for result in record.results:
        for process in result.loadgen:
            share = process.cpu_share
            if share is None or share <= LOADGEN_CORES:
                continue
            where = process.node or "the machine with the command"
            yield Finding(
                rule="loadgen-saturated",
                severity="warning",
                topic="performance",
                text=f"{result.part}: the LoadGen process on {where} used {share:.2f} cores all the time: it may "
                "be what limits the rate.",
                figures={"cores_used": share},
                advice="Compare with the coordinated benchmark (a LoadGen on each node); give the process cores "
                "that no worker has.",
                part=result.part,
                node=process.node,
            )


def throttled(record: ExecutionRecord) -> Iterator[Finding]:
    """GPUs that were held back by heat or power."""
    for result, node in _each(record):
        worst = {reason: share for reason, share in node.use.throttled.items() if share > THROTTLED}
        if worst:
            told = ", ".join(f"{reason} {100 * share:.0f} %" for reason, share in worst.items())
            yield Finding(
                rule="throttled",
                severity="warning",
                topic="performance",
                text=f"{result.part}: GPUs of {node.node} were slowed down during the test ({told} of the readings).",
                figures=dict(worst),
                advice=f"See to cooling and power limit of {node.node} (nvidia-smi -q -d PERFORMANCE).",
                part=result.part,
                node=node.node,
            )


def network_in_latency(record: ExecutionRecord) -> Iterator[Finding]:
    """How much of a request's time is the way there and back."""
    trips = {link.target: link.rtt_ms for link in record.infrastructure.links if link.rtt_ms is not None}
    trips |= {
        probe.node: 2 * probe.clock_error_ms
        for probe in record.infrastructure.probes
        if probe.clock_error_ms is not None and probe.node not in trips
    }
    result = record.result("distributed")
    for node in result.nodes if result is not None else []:
        trip, took = trips.get(node.node), node.request_s
        if trip is None or took is None:
            continue
        whole = took.first_token_mean or took.mean
        share = trip / 1e3 / whole if whole else 0.0
        if share > NETWORK:
            what = "first token" if took.first_token_mean else "request"
            yield Finding(
                rule="network-in-latency",
                severity="warning",
                topic="performance",
                text=f"distributed: of the {number(1e3 * whole)} ms that a {what} of {node.node} takes, the way "
                f"there and back is {number(trip)} ms ({100 * share:.0f} %).",
                figures={"rtt_ms": trip, "request_ms": 1e3 * whole, "share": share},
                advice="Put LoadGen nearer to the workers, or use the faster network (--set cluster.bind=ADDRESS).",
                part="distributed",
                node=node.node,
            )
