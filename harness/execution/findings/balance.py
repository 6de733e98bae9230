"""Do the nodes differ by more than their own scatter explains?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from harness.rundir.execution import ExecutionRecord
from harness.rundir.execution_results import ClusterResult, Finding, NodeResult
from harness.text import number

UNEVEN = 0.1  # of the mean, between the node with the most samples and that with the least
APART = 0.05  # of the mean: less is nobody's concern, however sure
UNSURE = 0.25  # of the mean: worth a word although the scatter is not known
GROSS = 0.4  # of the mean, one at two thirds of the other: worth a look although the scatter is not known
LONGER = "Run for longer: each twentieth of the test needs two samples of every node."
Value = Callable[[NodeResult], tuple[float, float | None] | None]


def uneven_samples(record: ExecutionRecord) -> Iterator[Finding]:
    """Nodes that did very different numbers of samples, although none lost any; for each of their workers."""
    for result in record.results:
        done = {
            n.node: n.samples_completed / n.workers
            for n in result.nodes
            if n.workers and n.samples_completed and not n.samples_lost
        }
        mean = sum(done.values()) / len(done) if done else 0
        if len(done) < 2 or not mean or (max(done.values()) - min(done.values())) / mean <= UNEVEN:
            continue
        most, least = max(done, key=lambda n: done[n]), min(done, key=lambda n: done[n])
        spread = (done[most] - done[least]) / mean
        yield Finding(
            rule="uneven-samples",
            severity="warning",
            topic="performance",
            text=f"{result.part}: the samples are spread unevenly: a worker of {most} did {number(done[most])}, one of "
            f"{least} {number(done[least])} ({100 * spread:.0f} % of the mean apart).",
            figures={**{f"samples_per_worker {node}": value for node, value in done.items()}, "spread": spread},
            advice=f"Find out why {least} is slower, or expect it: work goes to whoever is free."
            if result.part != "coordinated"
            else "Ask every node for as many samples.",
            part=result.part,
            node=least,
        )


def throughput_spread(record: ExecutionRecord) -> Iterator[Finding]:
    """Tokens/s of a worker, node against node."""

    def speed(node: NodeResult) -> tuple[float, float | None] | None:
        rate = node.tokens_per_second
        if rate is None or not node.workers or not rate.value or node.samples_lost:
            return None
        return rate.value / node.workers, None if rate.ci95 is None else rate.ci95 / node.workers

    for result in record.results:
        yield from _spread(
            result,
            speed,
            rule="throughput-spread",
            what="generates",
            unit="tokens/s a worker",
            slow=min,
            advice="Compare {slow} with {fast}: GPU and clock (throttling?), driver, NUMA binding, other "
            "processes; a test "
            "on {slow} alone tells whether it is the machine or the network.",
        )


def latency_spread(record: ExecutionRecord) -> Iterator[Finding]:
    """Mean time of a request, node against node."""

    def took(node: NodeResult) -> tuple[float, float | None] | None:
        return None if node.request_s is None else (node.request_s.mean, node.request_s.mean_ci95)

    for result in record.results:
        yield from _spread(
            result,
            took,
            rule="latency-spread",
            what="takes",
            unit="s a request",
            slow=max,
            advice="Look for what holds up requests on {slow}: a slower GPU, a busier processor, a longer way to it.",
        )


def _spread(
    result: ClusterResult,
    value: Value,
    *,
    rule: str,
    what: str,
    unit: str,
    slow: Callable[..., str],
    advice: str,
) -> Iterator[Finding]:
    known = {node.node: found for node in result.nodes if (found := value(node)) is not None}
    if len(known) < 2:
        return
    slowest = slow(known, key=lambda name: known[name][0])
    fastest = (max if slow is min else min)(known, key=lambda name: known[name][0])
    (low, low_half), (high, high_half) = known[slowest], known[fastest]
    apart = abs(high - low) / _mean([found[0] for found in known.values()])
    noise = None if low_half is None or high_half is None else math.hypot(low_half, high_half)
    sure = noise is not None and abs(high - low) > noise
    if not (apart > APART and sure) and not (noise is None and apart > UNSURE):
        return
    why = "but the test is too short to know their scatter."
    if noise is not None:
        why = f"more than their own scatter explains (± {number(noise)})."
    yield Finding(
        rule=rule,
        severity="warning" if sure or apart > GROSS else "note",
        topic="performance",
        text=f"{result.part}: {slowest} {what} {number(low)} {unit}, {fastest} {number(high)}: "
        f"{100 * apart:.0f} % of the mean apart, {why}",
        figures={**{name: found[0] for name, found in known.items()}, "apart": apart, "noise_ci95": noise},
        advice=advice.format(slow=slowest, fast=fastest) if sure or apart > GROSS else LONGER,
        part=result.part,
        node=slowest,
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
