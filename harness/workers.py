"""From the configuration to worker specs and a pool to start them."""

from __future__ import annotations

from pathlib import Path

from harness.config import RunConfig, Scenario
from harness.rundir.names import WORKERS
from mlperf_llama_base.errors import EnvironmentFault
from sut import engines
from sut.messages import EngineSettings, WorkerSpec
from sut.nvml import visible_gpus


def engine_settings(config: RunConfig) -> EngineSettings:
    """What every worker builds its engine from. Offline reports completions only."""
    return EngineSettings(
        name=config.engine.name,
        model=config.model.path or "",
        max_new_tokens=config.engine.max_new_tokens,
        min_new_tokens=config.engine.min_new_tokens,
        first_tokens=config.scenario is not Scenario.OFFLINE,
        device=config.engine.device,
        tensor_parallel=config.workers.tensor_parallel,
        start_timeout_s=config.workers.start_timeout_s,
        args=config.engine.args,
    )


def check_engine(config: RunConfig) -> dict[str, str]:
    """Refuse an engine or an argument that cannot work, before anything is started.

    Returns the arguments that will have no effect, each with the reason. Raises ``UserError``, or ``EnvironmentFault``
    for packages that are missing where the workers run (on a cluster that is the nodes' affair).
    """
    if config.cluster.address == "local":
        engines.check_installed(config.engine.name)
    return engines.check(engine_settings(config))


def wants_gpus(config: RunConfig) -> bool:
    """The workers take GPUs where there are any."""
    return engines.find(config.engine.name).uses_gpu and config.engine.device != "cpu"


def plan_workers(config: RunConfig, *, run_dir: Path, endpoint: str) -> list[WorkerSpec]:
    """One worker a GPU (or tensor-parallel group), or ``workers.count``; without a GPU one.

    Raises ``EnvironmentFault`` if there are fewer GPUs than the configuration needs, or others than
    CUDA_VISIBLE_DEVICES names.
    """
    engines.check_installed(config.engine.name)
    size = config.workers.tensor_parallel
    gpus = [gpu.token for gpu in visible_gpus()] if wants_gpus(config) else []
    if config.engine.device == "cuda" and wants_gpus(config) and len(gpus) < size:
        raise EnvironmentFault(
            f"engine.device is cuda and a worker needs {size} GPU(s), but {len(gpus)} can be seen here: "
            "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use engine.device=cpu"
        )
    asked = config.workers.count or engines.find(config.engine.name).workers(config.engine.args)
    count = asked or max(1, len(gpus) // size)
    if gpus and count * size > len(gpus):
        raise EnvironmentFault(
            f"workers.count {count} x tensor_parallel {size} needs {count * size} GPUs, {len(gpus)} can be seen here"
        )
    specs = [worker_spec(config, i, run_dir=run_dir) for i in range(count)]
    for i, spec in enumerate(specs):
        spec.endpoint = endpoint
        spec.gpus = gpus[i * size : (i + 1) * size]
        spec.cache_dir = str(run_dir.parent / ".engine-cache" / f"worker-{i}") if gpus else None
    return specs


def worker_spec(config: RunConfig, number: int, *, run_dir: Path) -> WorkerSpec:
    """What is the same wherever the worker runs; its GPUs are not in it yet."""
    prompts = config.workers.warm_up_prompts
    return WorkerSpec(
        id=number,
        endpoint="",
        engine=engine_settings(config),
        log_file=str(run_dir / WORKERS / f"worker-{number}.log"),
        warm_up_lengths=[16 + 1024 * k // max(1, prompts - 1) for k in range(prompts)],
        heartbeat_s=config.workers.heartbeat_s,
        pin_numa=config.workers.pin_numa,
    )
