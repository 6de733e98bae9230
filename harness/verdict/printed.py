"""A result on the terminal: what a run says at its end, and whoever has watched it."""

from __future__ import annotations

import functools
from pathlib import Path

from rich.console import Console

from harness.config import Scenario
from harness.rundir.result import Result
from harness.rundir.scores import METRICS

REASONS_SHOWN = 3


def print_result(result: Result, run_dir: Path, console: Console) -> None:
    """The verdict first, then the figures of the scenario."""
    say = functools.partial(console.print, highlight=False, soft_wrap=True)  # a pipe gets whole lines
    colour = "green" if result.valid else "yellow" if result.too_short else "red"
    verdict = f"[bold {colour}]{result.state.upper()}[/]"
    say(f"{verdict}  {result.scenario} {result.mode} ({result.model_name})")
    for reason in result.invalid_reasons:
        say(f"  - {reason}", markup=False)
    for name, value, form in _figures(result):
        if value is not None:
            say(f"  {name:<14} {value:{form}}")
    for text in (result.engine.facts.get("warnings") if result.engine else None) or []:
        say(f"  warning of the engine: {text}", markup=False)
    samples = result.samples
    say(
        f"  samples        {samples.issued} issued, {samples.completed} completed, {samples.lost} lost, "
        f"{samples.retried} retried",
    )
    if result.valid and not result.submittable:
        say("  not submittable:")
        reasons = result.not_submittable_reasons
        for reason in reasons[:REASONS_SHOWN]:
            say(f"  - {reason}", markup=False)
        if len(reasons) > REASONS_SHOWN:
            say(f"  - and {len(reasons) - REASONS_SHOWN} more, in result.json")
    for remark in result.remarks:
        say(f"  to be explained: {remark.text}", markup=False)
    say(f"  everything is in {run_dir}")


def _figures(result: Result) -> list[tuple[str, float | None, str]]:
    """Name, value and format of each figure that the scenario and the mode have."""
    rows: list[tuple[str, float | None, str]] = [
        ("samples/s", result.samples_per_second, ".2f"),
        ("tokens/s", result.tokens_per_second, ".1f"),
    ]
    if result.scenario != Scenario.OFFLINE:
        percentile = "p90" if result.scenario == Scenario.SINGLESTREAM else "p99"
        for name, latency in (("TTFT", result.ttft_ms), ("TPOT", result.tpot_ms), ("LATENCY", result.latency_ms)):
            rows.append((f"{name} {percentile} ms", getattr(latency, percentile, None), ".1f"))
    if scores := result.accuracy:
        rows += [(name, getattr(scores, name), ".4f") for name in METRICS]
        rows += [("gen_len", scores.gen_len, "d"), ("gen_num", scores.gen_num, "d")]
    return rows
