"""What is wrong with a run of the cluster's benchmarks, and what held it back: small rules over execution.json.

A rule says something only where figures show it, and gives those figures. A rule that lacks its figures is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.execution.findings import balance, efficiency, evidence, load, losses, nodes
from harness.rundir.execution import ExecutionRecord
from harness.rundir.execution_results import Finding

Rule = Callable[[ExecutionRecord], Iterator[Finding]]
SEVERITIES = ("critical", "warning", "note")
RULES: tuple[Rule, ...] = (
    losses.parts_without_result,
    losses.parts_not_valid,
    losses.lost_samples,
    losses.missing_nodes,
    losses.lost_workers,
    losses.bad_responses,
    nodes.unreachable,
    nodes.other_model,
    nodes.shared_processors,
    nodes.shares_of_one_machine,
    nodes.unlike_nodes,
    nodes.clocks_apart,
    nodes.slow_links,
    efficiency.below_95_percent,
    efficiency.above_100_percent,
    efficiency.noisy_baseline,
    balance.uneven_samples,
    balance.throughput_spread,
    balance.latency_spread,
    load.idle_gpu_memory,
    load.idle_gpus,
    load.saturated_processors,
    load.saturated_loadgen,
    load.throttled,
    load.network_in_latency,
    evidence.too_short,
    evidence.smaller_batches,
    evidence.apart_at_the_start,
    evidence.cut_off,
)


def findings(record: ExecutionRecord) -> list[Finding]:
    """Of all rules, the gravest first."""
    found = [finding for rule in RULES for finding in rule(record)]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))
