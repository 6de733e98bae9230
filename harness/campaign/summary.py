"""One table at the end, and the plan as a table before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from harness.campaign.plan import Kind, Step
from harness.config import Scenario
from harness.rundir import names
from harness.text import duration
from mlperf_llama_base import files


def plan_table(steps: Sequence[Step], reasons: dict[str, str | None]) -> Table:
    """The runs in their order, with an estimate of the time and why each will run."""
    table = Table(title="Plan", title_justify="left")
    for name, justify in (("run", "left"), ("state", "left"), ("estimated", "right")):
        table.add_column(name, justify="right" if justify == "right" else "left")
    total = 0.0
    for step in steps:
        reason, seconds = reasons[step.name], step.seconds()
        total += seconds or 0.0 if reason else 0.0
        state = f"to run ({reason})" if reason else "done"
        table.add_row(step.name, state, duration(seconds, rough=True) if reason else "-")
    table.add_section()
    runs = sum(reason is not None for reason in reasons.values())
    table.add_row(f"{runs} runs", "plus loading the model, each time", duration(total, rough=True))
    return table


def summary_table(directory: Path, steps: Sequence[Step]) -> Table:
    """A row for each run: its verdict and its figures."""
    table = Table(title="Campaign", title_justify="left")
    for name in ("run", "verdict", "result"):
        table.add_column(name)
    for step in steps:
        if step.kind is not Kind.SMOKE:
            result = files.read_json(directory / step.name / names.RESULT) or {}
            table.add_row(step.name, _verdict(result), "\n".join(_figures(step, result)))
    return table


def _verdict(result: dict[str, Any]) -> str:
    if not result:
        return "not run"
    if not result.get("valid"):
        return "NOT VALID"
    return "valid" if result.get("submittable") else "valid, not submittable"


def _figures(step: Step, result: dict[str, Any]) -> list[str]:
    """What this kind of run is for; or, if it is not valid, the first reason."""
    if result and not result.get("valid"):
        return [str((result.get("invalid_reasons") or ["no reason given"])[0])]
    if step.kind is Kind.ACCURACY:
        scores = result.get("accuracy") or {}
        return [f"{name} {scores[name]:,}" for name in ("rouge1", "rouge2", "rougeL", "gen_len") if name in scores]
    if step.kind is Kind.COMPLIANCE:
        return ["TEST06 passed"] if (result.get("compliance") or {}).get("passed") else []
    figures = [("tokens/s", result.get("tokens_per_second")), ("samples/s", result.get("samples_per_second"))]
    if step.config.scenario is not Scenario.OFFLINE:
        percentile = "p90" if step.config.scenario is Scenario.SINGLESTREAM else "p99"
        for name, unit in (("ttft_ms", "TTFT"), ("tpot_ms", "TPOT"), ("latency_ms", "latency")):
            figures.append((f"ms {unit} {percentile}", (result.get(name) or {}).get(percentile)))
    return [f"{value:,.2f} {unit}" for unit, value in figures if value is not None]
