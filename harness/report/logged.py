"""Two runs by LoadGen's logs alone, where one of them is another harness's: its figures, and the settings in effect.

LoadGen logs percentiles and rates of the whole run, nothing of its stretches: how much they scatter is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.config import Scenario
from harness.report.load import RunData

PERCENTS = ("p50", "p90", "p99")


def logged_figures(a: RunData, b: RunData) -> Iterator[tuple[str, str, float, float, bool]]:
    """Name, unit, value in A, value in B, whether more is better; of what both logs hold."""
    for name, unit, field in (
        ("Throughput", "tokens/s", "tokens_per_second"),
        ("Sample rate", "samples/s", "samples_per_second"),
    ):
        ours, theirs = (getattr(run.result, field, None) for run in (a, b))
        if ours is not None and theirs is not None:
            yield name, unit, ours, theirs, True
    for name, which in (("TTFT", "ttft"), ("TPOT", "tpot"), ("Latency", "latency")):
        if which == "latency" and a.scenario is Scenario.OFFLINE:
            continue
        for percent in PERCENTS:
            ours, theirs = (run.percentile_ms(which, percent) for run in (a, b))
            if ours is not None and theirs is not None:
                yield f"{name} {percent}", "ms", ours, theirs, False
    for metric in ("rouge1", "rouge2", "rougeL", "rougeLsum"):
        ours, theirs = (getattr(run.accuracy, metric, None) for run in (a, b))
        if ours is not None and theirs is not None:
            yield f"ROUGE-{metric.removeprefix('rouge')}", "x 100", ours, theirs, True


def logged_settings(run: RunData) -> dict[str, Any]:
    """LoadGen's version and its settings in effect, as it logged them."""
    values = run.record.detail.values
    found = {key: value for key, value in values.items() if key.startswith("effective_")}
    return {f"LoadGen: {key}": value for key, value in ({"version": values.get("loadgen_version")} | found).items()}
