"""The same prompts through the raw engine and through LoadGen and the harness, in one call: the ratio is our cost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.config import RunConfig, Scenario
from harness.inventory.floors import in_words
from harness.run import supervise, with_defaults
from harness.rundir import names
from harness.rundir.directory import Claim, claimed
from harness.verdict.result import write_result
from mlperf_llama_base import files
from mlperf_llama_base.errors import RunError
from mlperf_llama_base.source import python_path


def workload(path: Path, *, count: int) -> Path:
    """Make (once) random prompts with lengths lognormal(ln 700, 0.45) within 60 to 2540, 764 tokens on average."""
    from qsl.synthetic import synthesize

    if not path.exists():
        synthesize(path, count=count, shape="lognormal", seed=0)
    return path


def offline_once(config: RunConfig, *, samples: int) -> RunConfig:
    """An Offline test of exactly one permutation of the data set, however long that takes."""
    config = config.model_copy(deep=True)
    config.scenario = Scenario.OFFLINE
    config.loadgen.min_query_count = samples
    config.loadgen.min_duration_ms = 1
    config.loadgen.target_qps = 1.0
    return config


def measure_engine(
    config: RunConfig, *, samples: int, raw: bool, static_batches: int | None, console: Console
) -> dict[str, Any]:
    """Run the variants one after another. Returns their figures and the ratio harness / raw."""
    config = offline_once(with_defaults(config), samples=samples)
    with claimed(config) as claim:
        return _measure(config, claim, raw=raw, static_batches=static_batches, console=console)


def _measure(
    config: RunConfig, claim: Claim, *, raw: bool, static_batches: int | None, console: Console
) -> dict[str, Any]:
    run_dir = claim.path
    config.save(run_dir / names.CONFIG)
    figures: dict[str, Any] = {"workers": config.workers.count or 1}
    if raw:
        figures["raw"] = _raw(run_dir, None)
        console.print(f"raw: {figures['raw']['tokens_per_second']:.0f} tokens/s", highlight=False)
    if static_batches:
        figures["static_batches"] = _raw(run_dir, static_batches)
    supervise(config, claim, console)
    result = write_result(run_dir)
    figures["harness"] = {
        "tokens_per_second": result.tokens_per_second,
        "samples_per_second": result.samples_per_second,
    }
    figures["steps"] = in_words(result.engine_live_facts, result.engine)
    if raw:
        figures["ratio"] = figures["harness"]["tokens_per_second"] / figures["raw"]["tokens_per_second"]
    files.write_json(run_dir / "bench.json", figures)
    return figures


def _raw(run_dir: Path, batch: int | None) -> Any:
    extra = ["--static-batches", str(batch)] if batch else []
    with (run_dir / "raw.log").open("ab") as log:
        code = subprocess.run(
            [sys.executable, "-m", "harness.bench.raw", str(run_dir), *extra],
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONPATH": python_path()},
            check=False,
        ).returncode
    if code:
        raise RunError(f"the raw engine ended with status {code}: see {run_dir / 'raw.log'}")
    return files.read_json(run_dir / (f"raw-batches-of-{batch}.json" if batch else "raw.json"))
