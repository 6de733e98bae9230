"""One table at the end, and the plan as a table before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from harness.campaign.plan import Kind, Step
from harness.config import Scenario
from harness.rundir.record import RunRecord
from harness.rundir.result import Result
from harness.text import duration
from mlperf_llama_base.errors import UserError


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
            result = _result(directory / step.name)
            table.add_row(step.name, _verdict(result), "\n".join(_figures(step, result)))
    return table


def _result(run_dir: Path) -> Result | None:
    """None for a run that was not made, or whose result cannot be read."""
    try:
        return RunRecord(run_dir).result
    except UserError:
        return None


def _verdict(result: Result | None) -> str:
    if result is None:
        return "not run"
    if not result.valid:
        return result.state.upper()
    return "valid" if result.submittable else "valid, not submittable"


def _figures(step: Step, result: Result | None) -> list[str]:
    """What this kind of run is for; or, if it is not valid, the first reason."""
    if result is None:
        return []
    if not result.valid:
        return [(result.invalid_reasons or ["no reason given"])[0]]
    if step.kind is Kind.ACCURACY:
        names = ("rouge1", "rouge2", "rougeL", "gen_len")
        return [f"{name} {getattr(result.accuracy, name):,}" for name in names] if result.accuracy else []
    if step.kind is Kind.COMPLIANCE:
        return ["TEST06 passed"] if result.compliance and result.compliance.passed else []
    figures = [("tokens/s", result.tokens_per_second), ("samples/s", result.samples_per_second)]
    if step.config.scenario is not Scenario.OFFLINE:
        single = step.config.scenario is Scenario.SINGLESTREAM
        latencies = (("TTFT", result.ttft_ms), ("TPOT", result.tpot_ms), ("latency", result.latency_ms))
        for unit, found in latencies:
            value = None if found is None else found.p90 if single else found.p99
            figures.append((f"ms {unit} {'p90' if single else 'p99'}", value))
    return [f"{value:,.2f} {unit}" for unit, value in figures if value is not None]
