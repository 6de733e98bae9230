"""Both searches against engines in virtual time whose knee is known: ``python -m tests.harness.tune.compare --help``.

Prints the table of docs/tuning.md. A search by the steps takes some 20 s of one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console

from harness.config import Scenario
from harness.tune.state import Options
from sut.steps import StepTimes
from tests.harness.tune.machine import GRAPHS, Card, Machine

H100 = StepTimes(a_ms=4.8, c_us=31, p_us=13.6)
NOISE = {"times": H100, "noise": 0.03}
CARDS: dict[str, dict[str, Any]] = {
    "steps with 3 % noise": NOISE,
    "2 % slower when warm": {**NOISE, "drift": 0.02},
    "launches of 18 ms": {**NOISE, "launch_ms": 18.0},
    "padded steps, launches, late": {**NOISE, "graphs": GRAPHS, "beyond_ms": 2.5, "bend": 0.3},
    "steps held, late prompts last": {**NOISE, "graphs": GRAPHS},
}
HELD: dict[Scenario, dict[str, Any]] = {
    Scenario.INTERACTIVE: {"held_ms": 29.0, "late_after_ms": 410.0},
    Scenario.SERVER: {"held_ms": 97.0, "late_after_ms": 1700.0, "max_num_seqs": 850},
}
GUESS = {Scenario.INTERACTIVE: 51.0, Scenario.SERVER: 62.5}
TRUTH = range(100, 124)
SEEDS = range(16)
COLUMNS = ("engine", "scenario", "true knee", "search", "rate, against the knee", "holds", "probes", "engine's time")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """``rate`` to run at; ``knee`` said, with its error in percent where it is told; the engine's seconds, probes."""

    rate: float
    knee: float
    error: float
    seconds: float
    probes: int


def machine(name: str, scenario: Scenario, seed: int = 0) -> Machine:
    card = CARDS[name] | (HELD[scenario] if "held" in name else {})
    return Machine(card=Card(**card), scenario=scenario, seed=seed, late=name.endswith(", late"))


def truth(case: tuple[str, Scenario]) -> list[float]:
    return [float(rate) for rate in machine(*case).truth(guess=GUESS[case[1]], seeds=TRUTH)]


def with_steps(case: tuple[str, Scenario, int]) -> Outcome:
    one = machine(*case)
    found = one.by_model(Options(), seeds=SEEDS)
    assert found.bracket
    return Outcome(
        rate=found.best_qps or 0.0,
        knee=found.knee_qps or 0.0,
        error=found.bracket.error_percent or 0.0,
        seconds=one.now_s,
        probes=len(found.probes),
    )


def without(case: tuple[str, Scenario, int]) -> Outcome:
    one, options = machine(*case), Options()
    search = one.by_headroom(options)
    found = search.estimate()
    valid = max((p.target_qps for p in search.probes if p.valid), default=0.0)
    return Outcome(
        rate=min((found.knee or 0.0) * (1 - options.margin), valid),
        knee=found.knee or 0.0,
        error=100 * (found.error or 0.0),
        seconds=one.now_s,
        probes=len(search.probes),
    )


def row(name: str, scenario: Scenario, knees: Sequence[float], found: Sequence[Outcome], *, what: str) -> str:
    knee = float(np.median(knees))
    off = 100 * np.array([one.rate / knee - 1 for one in found])
    held = np.mean([[one.rate <= rate for rate in knees] for one in found])
    seconds, probes = (np.mean([getattr(one, name) for one in found]) for name in ("seconds", "probes"))
    against = f"{off.mean():+.1f} % ({off.min():+.1f} to {off.max():+.1f})"
    columns = (
        name,
        scenario.value,
        f"{knee:.2f}",
        what,
        against,
        f"{100 * held:.0f} %",
        f"{probes:.1f}",
        f"{seconds:.0f} s",
    )
    return f"| {' | '.join(columns)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="searches of each kind")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--card", action="append", choices=CARDS, help="only these")
    parser.add_argument("--by-steps", action="store_true", help="leave out the search without steps")
    asked = parser.parse_args()
    cases = [(name, scenario) for name in asked.card or CARDS for scenario in GUESS]
    out = Console(width=240, highlight=False, markup=False, soft_wrap=True)
    out.print(f"| {' | '.join(COLUMNS)} |")
    out.print("|---" * len(COLUMNS) + "|")
    with ProcessPoolExecutor(asked.processes) as pool:
        for name, scenario in cases:
            knees = pool.submit(truth, (name, scenario))
            seeds = [(name, scenario, seed) for seed in range(asked.seeds)]
            old, new = pool.map(without, [] if asked.by_steps else seeds), pool.map(with_steps, seeds)
            if found := list(old):
                out.print(row(name, scenario, knees.result(), found, what="without steps"))
            out.print(row(name, scenario, knees.result(), list(new), what="**by the steps**"))


if __name__ == "__main__":
    main()
