"""The benchmark's rules as numbers, each with its public source. Nothing here is a choice of this project.

Sources: mlcommons/inference ``loadgen/mlperf.conf`` and ``tools/submission/submission_checker/constants.py``;
mlcommons/inference_policies ``inference_rules.adoc``.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.config import Benchmark, Scenario

MIN_DURATION_MS = 600_000  # mlperf.conf, *.{Offline,Server,SingleStream}.min_duration
MAX_NEW_TOKENS, MIN_NEW_TOKENS = 128, 1  # inference_rules.adoc, generation lengths of llama3.1-8b
MIN_LOADGEN = (6, 0, 16)  # v6.1 seed commit b0662794; README.md of mlcommons/inference

SEEDS = {  # mlperf.conf, checked by performance_check.py
    "effective_qsl_rng_seed": 2085463073848966840,
    "effective_sample_index_rng_seed": 2747215439041700203,
    "effective_schedule_rng_seed": 16159082839903944936,
}
SCENARIOS = {  # constants.py, required and optional scenarios
    Benchmark.DATACENTER: (Scenario.OFFLINE, Scenario.SERVER, Scenario.INTERACTIVE),
    Benchmark.EDGE: (Scenario.SINGLESTREAM, Scenario.OFFLINE),
}
LATENCY_LIMITS_NS = {  # mlperf.conf, Server.ttft_latency and Server.tpot_latency: (TTFT, TPOT), at the 99th percentile
    Scenario.SERVER: (2_000_000_000, 100_000_000),
    Scenario.INTERACTIVE: (500_000_000, 30_000_000),
}


@dataclass(frozen=True, kw_only=True)
class AccuracyTarget:
    """A score (ROUGE x 100, or characters) and the closed division's bounds on it."""

    reference: float
    minimum: float
    maximum: float | None = None


def _targets(
    *, rouge1: float, rouge2: float, rouge_l: float, rouge_lsum: float, gen_len: int
) -> dict[str, AccuracyTarget]:
    rouge = {"rouge1": rouge1, "rouge2": rouge2, "rougeL": rouge_l, "rougeLsum": rouge_lsum}
    targets = {name: AccuracyTarget(reference=value, minimum=value * 0.99) for name, value in rouge.items()}
    targets["gen_len"] = AccuracyTarget(reference=gen_len, minimum=gen_len * 0.9, maximum=gen_len * 1.1)
    return targets


ACCURACY_TARGETS = {  # constants.py, accuracy-target and accuracy-upper-limit
    Benchmark.DATACENTER: _targets(rouge1=38.7792, rouge2=15.9075, rouge_l=24.4957, rouge_lsum=35.793, gen_len=8167644),
    Benchmark.EDGE: _targets(rouge1=39.06, rouge2=16.1147, rouge_l=24.6375, rouge_lsum=36.124, gen_len=3051113),
}


def accuracy_shortfalls(scores: dict[str, float], benchmark: Benchmark) -> list[str]:
    """One line for each score of ``scores`` (ROUGE x 100, ``gen_len`` in characters) outside the closed division's
    bounds.
    """
    lines = []
    for name, target in ACCURACY_TARGETS[benchmark].items():
        value = scores[name]
        if value < target.minimum:
            lines.append(f"accuracy: {name} {value:,.10g} is below the target {target.minimum:,.10g}")
        if target.maximum is not None and value > target.maximum:
            lines.append(f"accuracy: {name} {value:,.10g} is above the upper limit {target.maximum:,.10g}")
    return lines
