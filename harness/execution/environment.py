"""With what the parts ran: model, precision, token limits, versions, as the runs themselves recorded them."""

from __future__ import annotations

from collections.abc import Sequence

from harness import __version__
from harness.inventory.system import collect
from harness.rounds import ROUND
from harness.rundir.execution import ClusterNode, Environment
from harness.rundir.record import RunRecord


def environment(cluster: str | None, nodes: Sequence[ClusterNode], runs: Sequence[RunRecord]) -> Environment:
    """Of the first run that says it. Without any run only this machine's versions are known."""
    found = Environment(cluster=cluster, nodes=list(nodes), round=ROUND.version, versions=_versions(runs))
    for run in runs:
        session, engine = run.ran, run.ran.engine
        model, data = session.model, session.dataset
        known = {
            "model": (model.path if model else None) or run.setting("model", "path"),
            "is_llama_3_1_8b": model.is_llama_3_1_8b if model else None,
            "dataset": (data.label or data.path if data else None) or run.setting("dataset", "path"),
            "dataset_samples": data.count if data else None,
            "engine": (engine.name if engine else None) or run.setting("engine", "name"),
            "precision": engine.weight_dtype if engine else None,
            "kv_cache": engine.kv_cache_dtype if engine else None,
            "max_input_tokens": data.input_tokens_max if data else None,
            "min_new_tokens": run.setting("engine", "min_new_tokens"),
            "max_new_tokens": run.setting("engine", "max_new_tokens"),
        }
        for name, value in known.items():
            if getattr(found, name) is None and value is not None:
                setattr(found, name, value)
    return found


def _versions(runs: Sequence[RunRecord]) -> dict[str, str | None]:
    """This machine's, under what the first run recorded; a package that is not installed is left out."""
    system = collect()
    found = {"mlperf-llama": __version__} | system.software | {"git_revision": system.git_revision}
    for run in runs:
        if run.result is not None and run.result.versions:
            found |= {name: version for name, version in run.result.versions.items() if version}
            break
    return {name: version for name, version in found.items() if version}
