"""What a step of :mod:`harness.bench.card` has left: one JSON file each, and the table of them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from harness.inventory.floors import step_times
from harness.rundir import names
from harness.rundir.files import read_record
from harness.rundir.result import Result
from harness.rundir.tuning import TuneRecord
from mlperf_llama_base import typed

DONE: Literal["done"] = "done"
COLUMNS = (
    "step", "what", "state", "LoadGen", "samples/s", "tokens/s", "TTFT p99", "TPOT p99", "latency p90",
    "a ms", "c us", "p us", "launch ms", "W", "J/sample", "ready s", "more",
)  # fmt: skip


class Figures(msgspec.Struct, kw_only=True):
    """Of one run. ``a_ms``, ``c_us``, ``p_us``, ``launch_ms``: of its steps. ``ready_s``: the worker's start, and
    ``start_s`` its parts. Latencies in ms."""

    card: str | None = None
    verdict: str
    reasons: list[str] = []
    target_qps: float | None = None
    samples_per_second: float | None = None
    tokens_per_second: float | None = None
    ttft_p99: float | None = None
    tpot_p99: float | None = None
    latency_p90: float | None = None
    a_ms: float | None = None
    c_us: float | None = None
    p_us: float | None = None
    launch_ms: float | None = None
    watts: float | None = None
    joules_per_sample: float | None = None
    ready_s: float | None = None
    start_s: dict[str, float] = {}


class StepRecord(msgspec.Struct, kw_only=True):
    """``state``: done, failed (a command broke) or cut. ``commands``: as they were given to ``mlperf-llama``. ``runs``:
    by directory; ``more``: what else the step tells, in words. ``host_s``: a Python loop of 20 million turns, at the
    time: a slow host launches slowly."""

    name: str
    what: str
    state: Literal["done", "failed", "cut"]
    began: str
    seconds: float
    commands: list[list[str]] = []
    exit_codes: list[int] = []
    host_s: float | None = None
    runs: dict[str, Figures] = {}
    more: list[str] = []
    error: str | None = None


def figures_of(folder: Path) -> Figures | None:
    """Of the run in ``folder``; ``None`` where it left no result."""
    result = read_record(folder / names.RESULT, Result)
    if result is None:
        return None
    times, facts = step_times(result.engine_live_facts), result.engine.facts if result.engine else {}
    return Figures(
        card=facts.get("gpu"),
        verdict=result.state,
        reasons=result.invalid_reasons,
        target_qps=result.target_qps,
        samples_per_second=result.samples_per_second,
        tokens_per_second=result.tokens_per_second,
        ttft_p99=result.ttft_ms.p99 if result.ttft_ms else None,
        tpot_p99=result.tpot_ms.p99 if result.tpot_ms else None,
        latency_p90=result.latency_ms.p90 if result.latency_ms else None,
        a_ms=times.a_ms if times else None,
        c_us=times.c_us if times else None,
        p_us=times.p_us if times else None,
        launch_ms=times.launch_ms if times else None,
        watts=result.energy.mean_w if result.energy else None,
        joules_per_sample=result.energy.joules_per_sample if result.energy else None,
        ready_s=max((w.load_s for w in result.workers if w.load_s is not None), default=None),
        start_s=facts.get("start_s") or {},
    )


def more_of(folder: Path, runs: dict[str, Figures]) -> list[str]:
    """What a step's directory tells beside its runs: ratios, and what a search found."""
    found = []
    bench = folder / "run" / "bench.json"
    if bench.is_file() and "ratio" in (figures := msgspec.json.decode(bench.read_bytes())):
        found.append(f"harness / raw {figures['ratio']:.4f}")
    direct, served = (runs.get(name) for name in ("direct", "served"))
    if direct and served and direct.samples_per_second and served.samples_per_second:
        found.append(f"endpoint / LoadGen {served.samples_per_second / direct.samples_per_second:.4f}")
    tune = read_record(folder / "run" / names.TUNE, TuneRecord)
    if tune is not None and tune.best_qps:
        before = sum(p.duration_s for p in tune.probes) + (tune.capacity.duration_s if tune.capacity else 0.0)
        said = ", ".join(f"{c.target_qps:g} {'VALID' if c.valid else 'not valid'}" for c in tune.confirmations)
        found.append(f"rate {tune.best_qps:g} after {before:.0f} s; LoadGen: {said or 'not asked'}")
    return found


def read_all(directory: Path) -> list[StepRecord]:
    """Those in ``directory``, in the order of their beginning."""
    found = [typed.from_json(path.read_bytes(), StepRecord) for path in directory.glob("*.json")]
    return sorted(found, key=lambda one: one.began)


def table(records: list[StepRecord]) -> str:
    """Markdown: a row for each run, and for each step that left none."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for one in records:
        for name, run in one.runs.items() or [("", None)]:
            step = one.name if name in ("", "run") else f"{one.name} ({name})"
            last = name == list(one.runs)[-1] if one.runs else True
            more = "; ".join(one.more + ([one.error] if one.error else [])) if last else ""
            lines.append(f"| {' | '.join([step, one.what, one.state, *_cells(run), more])} |")
    cards = sorted({run.card for one in records for run in one.runs.values() if run.card})
    return "\n".join([*lines, "", f"Card: {', '.join(cards) or 'none'}. Latencies in ms."])


def _cells(run: Figures | None) -> list[str]:
    if run is None:
        return [""] * (len(COLUMNS) - 4)
    numbers: list[Any] = [
        run.samples_per_second, run.tokens_per_second, run.ttft_p99, run.tpot_p99, run.latency_p90,
        run.a_ms, run.c_us, run.p_us, run.launch_ms, run.watts, run.joules_per_sample, run.ready_s,
    ]  # fmt: skip
    return [
        run.verdict,
        *("–" if value is None else f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}" for value in numbers),
    ]
