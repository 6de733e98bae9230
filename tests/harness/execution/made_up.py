"""Records of execution.json that are made up: a healthy run of two nodes with a GPU each, to spoil in one place."""

from __future__ import annotations

from harness.rundir.execution import (
    Asked,
    ClusterNode,
    Environment,
    ExecutionRecord,
    Infrastructure,
    Link,
    NodeGpu,
    NodeProbe,
    Part,
)
from harness.rundir.execution_results import (
    Baseline,
    ClusterResult,
    LoadGenProcess,
    NodeResult,
    Quality,
    RequestTime,
    Scaling,
    ScalingPoint,
    TokenFigures,
    Use,
    WorkerRate,
)
from harness.rundir.scaling import Rate, TokenSummary

NODES = ("node-a", "node-b")
GPU = "NVIDIA H100 80GB HBM3"
SAMPLES = 13368


def request_time(mean: float = 8.0, *, half: float | None = 0.05) -> RequestTime:
    return RequestTime(mean=mean, p50=mean, p99=1.5 * mean, max=2 * mean, mean_ci95=half, waited_mean=300.0)


def node_result(name: str, *, rate: float = 7000.0) -> NodeResult:
    return NodeResult(
        node=name,
        directory=f"coordinated/{name}",
        workers=1,
        gpus=1,
        valid=True,
        samples_asked=SAMPLES,
        samples_completed=SAMPLES,
        samples_lost=0,
        samples_retried=0,
        seconds=700.0,
        start_s=0.0,
        end_s=700.0,
        samples_per_second=rate / 128,
        tokens_per_second=Rate(value=rate, ci95=40.0),
        request_s=request_time(),
        use=Use(
            cpu_pct=20.0,
            busiest_core_pct=70.0,
            gpu_pct=99.0,
            gpu_memory_used_bytes=76e9,
            gpu_memory_total_bytes=85e9,
        ),
    )


def result(part: str = "coordinated") -> ClusterResult:
    nodes = [node_result(name) for name in NODES]
    total = TokenSummary(mean=128, min=20, p50=128, p99=128, max=128, total=128 * 2 * SAMPLES)
    return ClusterResult(
        part=part,
        scenario="offline",
        valid=True,
        nodes_asked=2,
        nodes_active=2,
        workers=2,
        gpus=2,
        samples_asked=2 * SAMPLES,
        samples_issued=2 * SAMPLES,
        samples_completed=2 * SAMPLES,
        samples_lost=0,
        samples_retried=0,
        seconds=700.0,
        start_spread_ms=2.0,
        samples_per_second=sum(n.samples_per_second or 0 for n in nodes),
        tokens_per_second=Rate(value=14000.0, ci95=57.0),
        request_s=request_time(),
        gpu_memory_used_bytes=152e9,
        gpu_memory_total_bytes=170e9,
        nodes=nodes,
        worker_rates=[
            WorkerRate(
                id=f"{n.node}/0",
                node=n.node,
                gpu=GPU,
                samples_completed=SAMPLES,
                tokens_per_second=Rate(value=7000.0, ci95=40.0),
            )
            for n in nodes
        ],
        tokens=TokenFigures(
            input=total,
            output=total,
            both=total,
            worker_mean=7000,
            worker_min=6990,
            worker_max=7010,
            worker_spread=0.003,
        ),
        quality=Quality(
            responses=2 * SAMPLES, failed=0, finished=20000, at_limit=6736, empty=0, shortest=20, median=90, longest=128
        ),
        loadgen=[LoadGenProcess(node=name, cpu_share=0.3, peak_rss_bytes=10**9) for name in NODES],
    )


def healthy() -> ExecutionRecord:
    """Nothing is wrong with it."""
    return ExecutionRecord(
        time="2026-11-26T18:00:00+00:00",
        duration_s=9000.0,
        asked=Asked(parts=["datacenter", "distributed", "coordinated"], nodes=list(NODES), samples_per_node=SAMPLES),
        parts=[
            Part(
                name=name, status="done", exit_code=0, duration_s=3000.0, analysis="All of it is valid.", directory=name
            )
            for name in ("datacenter", "distributed", "coordinated")
        ],
        environment=Environment(
            cluster="bare metal",
            model="Meta-Llama-3.1-8B-Instruct",
            precision="fp8",
            max_new_tokens=128,
            nodes=[
                ClusterNode(
                    name=name,
                    address=f"192.0.2.{at}",
                    machine=f"machine-{at}",
                    cpu="a processor",
                    cpus=list(range(64)),
                    memory_bytes=10**12,
                    gpus=[NodeGpu(name=GPU, memory_bytes=85_000_000_000)],
                    gpu_driver="580.1",
                )
                for at, name in enumerate(NODES, 1)
            ],
        ),
        results=[result("coordinated"), result("distributed")],
        scaling=Scaling(
            part="coordinated",
            baselines=[
                Baseline(
                    kind=GPU,
                    tokens_per_second=Rate(value=7050.0, ci95=40.0),
                    samples_completed=SAMPLES,
                    seconds=690.0,
                )
            ],
            points=[
                ScalingPoint(
                    name="coordinated",
                    workers=2,
                    valid=True,
                    tokens_per_second=Rate(value=14000.0, ci95=57.0),
                    speed_up=1.986,
                    ideal=2.0,
                    efficiency=0.993,
                    efficiency_ci95=0.007,
                )
            ],
        ),
        infrastructure=Infrastructure(
            probes=[
                NodeProbe(node=name, reachable=True, clock_offset_ms=0.4, clock_error_ms=0.1, preflight="pass")
                for name in NODES
            ],
            links=[Link(source="node-a", target="node-b", rtt_ms=0.1, bandwidth_mb_s=11000.0)],
        ),
    )


def first_report() -> ExecutionRecord:
    """The figures of the report that this project began with, typed in: two nodes of a Kubernetes cluster, ten samples
    each, 32 tokens; one benchmark ended after 0.3 s, one ran into a timeout, one lost 5 samples and claimed 102.5 %.
    What that report did not say is null.
    """
    one = node_result("node-a")
    one.samples_asked, one.samples_completed, one.samples_lost = 10, 10, 0
    other = node_result("node-b")
    other.samples_asked, other.samples_completed, other.samples_lost, other.valid = 10, 5, 5, None
    for node in (one, other):
        node.tokens_per_second = node.request_s = node.directory = node.seconds = node.samples_per_second = None
        node.use = Use()
    return ExecutionRecord(
        time="2025-01-01T00:00:00+00:00",
        asked=Asked(parts=["datacenter", "distributed", "coordinated"], nodes=list(NODES), samples_per_node=10),
        parts=[
            Part(name="datacenter", status="failed", exit_code=1, duration_s=0.3),
            Part(name="distributed", status="interrupted", analysis="It ran into its timeout."),
            Part(name="coordinated", status="done", exit_code=0, duration_s=22.16),
        ],
        environment=Environment(cluster="Kubernetes", max_new_tokens=32, nodes=[ClusterNode(name=n) for n in NODES]),
        results=[
            ClusterResult(
                part="coordinated",
                nodes_asked=2,
                nodes_active=2,
                workers=2,
                gpus=2,
                samples_asked=20,
                samples_issued=20,
                samples_completed=15,
                samples_lost=5,
                seconds=22.16,
                samples_per_second=15 / 22.16,
                request_s=RequestTime(mean=0.98, p50=0.98, p99=0.98, max=0.98),
                nodes=[one, other],
            )
        ],
        scaling=Scaling(
            part="coordinated",
            baselines=[Baseline(kind="GPU", tokens_per_second=Rate(value=100.0))],
            points=[
                ScalingPoint(
                    name="coordinated",
                    workers=2,
                    tokens_per_second=Rate(value=205.0),
                    speed_up=2.05,
                    ideal=2.0,
                    efficiency=1.025,
                )
            ],
        ),
    )
