"""Scaling: one LoadGen over 1, 2, 4 ... all workers, and one worker of each kind alone for comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from harness.config import RunConfig, Tree
from harness.run import supervise
from harness.rundir import names
from harness.rundir.directory import claimed
from harness.rundir.scaling import ScalingRecord, ScalingStep
from harness.scaling.analysis import analyse
from harness.scaling.figures import run_figures
from harness.scaling.save import save
from harness.verdict.result import write_result
from harness.workers import plan_workers
from sut.workers.devices import gpu_name


def total_workers(config: RunConfig) -> int:
    """Workers that the whole machine or cluster holds."""
    if config.workers.count:
        return config.workers.count
    if config.cluster.address == "local":
        return len(plan_workers(config, run_dir=Path(config.output), endpoint=""))
    from harness import cluster

    cluster.connect(config.cluster.address, bind=config.cluster.bind)
    from sut.workers.ray import fits, worker_nodes

    need = cluster.worker_resources(config)
    return sum(fits(node["Resources"], need) for node in worker_nodes(need))


def default_counts(total: int) -> list[int]:
    """1, 2, 4 ... and all."""
    return sorted({2**k for k in range(total.bit_length()) if 2**k <= total} | {total})


def kinds(config: RunConfig) -> list[tuple[str, Tree]]:
    """The kinds of GPU, and for each what to change in a configuration to get one worker of it."""
    if config.cluster.address == "local":
        specs = plan_workers(config, run_dir=Path(config.output), endpoint="")
        kinds = {(gpu_name(s.gpus[0]) if s.gpus else None) or "CPU": s for s in reversed(specs)}
        return [(name, {"gpus": spec.gpus}) for name, spec in kinds.items()]
    from harness import cluster

    cluster.connect(config.cluster.address, bind=config.cluster.bind)
    from harness.scaling.members import kind_of_node
    from sut.workers.ray import worker_nodes

    found = {kind_of_node(node) for node in worker_nodes(cluster.worker_resources(config))}
    return [
        (kind, {} if kind == "CPU" else {"resources": {f"accelerator_type:{kind}": 0.001}}) for kind in sorted(found)
    ]


def measure_scaling(
    config: RunConfig, counts: Sequence[int], *, output: Path, samples: int, console: Console
) -> ScalingRecord:
    """Run them all; ``samples``: of a worker, so that every test lasts as long. Returns what scaling.json holds."""
    output.mkdir(parents=True, exist_ok=True)
    baselines: dict[str, ScalingStep] = {}
    for number, (kind, change) in enumerate(kinds(config)):
        console.print(f"baseline: one worker ({kind})", highlight=False)
        figures = _one(config, 1, output / f"{names.BASELINE}{number}", samples=samples, change=change)
        baselines[figures.workers[0].kind] = figures
    steps = []
    for count in counts:
        console.print(f"{count} worker(s)", highlight=False)
        step = _one(config, count, output / f"workers-{count}", samples=samples * count, change={})
        step.scaling = analyse(step, baselines)
        steps.append(step)
    facts: dict[str, str | int | None] = {
        "scenario": config.scenario.value,
        "engine": config.engine.name,
        "model": config.model.path,
        "cluster": config.cluster.address,
    }
    return save(output, kind="scaling", baselines=baselines, steps=steps, facts=facts)


def _one(config: RunConfig, count: int, folder: Path, *, samples: int, change: Tree) -> ScalingStep:
    config = config.model_copy(deep=True)
    config.output = str(folder)
    config.workers.count = count
    config.loadgen.min_query_count = samples
    config.loadgen.min_duration_ms = config.loadgen.min_duration_ms or 1
    if "resources" in change:
        from harness.cluster import worker_resources

        config.cluster.resources = worker_resources(config) | change["resources"]
    with claimed(config) as claim:
        config.save(claim.path / names.CONFIG)
        supervise(config, claim, Console(quiet=True), env=_only(change.get("gpus")))
        write_result(claim.path)
        return run_figures(claim.path)


def _only(gpus: list[int] | None) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": ",".join(map(str, gpus))} if gpus else {}
