"""The claim about scaling: too low and why, too good to be true, or resting on a baseline that is too noisy."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.execution.findings import balance, evidence, load, losses, nodes
from harness.rundir.execution import ExecutionRecord
from harness.rundir.execution_results import Finding, ScalingPoint

GOOD = 0.95
NEAR = 1.01  # nobody takes that for a gain
NOISY = 0.05  # half of the baseline's interval against it: a claim to a few percent needs better
Rule = Callable[[ExecutionRecord], Iterator[Finding]]
CAUSES: tuple[tuple[Rule, str], ...] = (  # the likeliest first
    (losses.lost_samples, "samples were lost"),
    (losses.missing_nodes, "not all nodes took part"),
    (losses.lost_workers, "workers were lost during the test"),
    (evidence.smaller_batches, "each worker had fewer samples than the baseline's, so smaller batches"),
    (balance.throughput_spread, "some node is slower than the others"),
    (balance.latency_spread, "some node is slower than the others"),
    (nodes.shared_processors, "the nodes share processors, which each has to itself while the baseline is measured"),
    (nodes.shares_of_one_machine, "the workers share the processors, which one has to itself for the baseline"),
    (load.throttled, "GPUs were slowed down by heat or power"),
    (load.saturated_loadgen, "the LoadGen process was saturated"),
    (load.saturated_processors, "the processors were full"),
    (nodes.unlike_nodes, "the nodes are not alike"),
    (load.network_in_latency, "the network takes part of the time"),
    (nodes.slow_links, "the network is slow"),
    (load.idle_gpus, "the GPUs waited for work"),
)


def below_95_percent(record: ExecutionRecord) -> Iterator[Finding]:
    """With the most likely cause: the first of the other rules that has something to say about it."""
    for point in _points(record):
        if point.efficiency is None or point.efficiency >= GOOD:
            continue
        cause, because = next(
            ((text, found[0]) for rule, text in CAUSES if (found := _of(rule, record, point.name))), (None, None)
        )
        unsure = point.efficiency_ci95 is not None and point.efficiency + point.efficiency_ci95 >= GOOD
        said = f"the most likely cause: {cause}" if cause else "no figure of this run shows why"
        yield Finding(
            rule="low-efficiency",
            severity="warning",
            topic="performance",
            text=f"{point.name}: {point.workers} workers reach {_shown(point)} of what they do alone; {said}"
            + (", and the interval reaches 95 %." if unsure else "."),
            figures={
                "efficiency": point.efficiency,
                "efficiency_ci95": point.efficiency_ci95,
                "workers": point.workers,
                "likely_cause": because.rule if because else None,
            },
            advice=because.advice
            if because
            else "Measure again with fewer nodes (mlperf-llama scaling) to see where it begins to fall.",
            part=_part(record, point),
        )


def above_100_percent(record: ExecutionRecord) -> Iterator[Finding]:
    """Workers cannot do more together than alone: the baseline was measured too low, or its noise is that large."""
    for point in _points(record):
        if point.efficiency is None or point.efficiency <= 1:
            continue
        half = point.efficiency_ci95
        inside = half is not None and point.efficiency - half <= 1
        spread = [*_of(balance.throughput_spread, record, point.name), *_of(balance.latency_spread, record, point.name)]
        slower = any(finding.severity == "warning" for finding in spread)
        yield Finding(
            rule="over-100-percent",
            severity="note" if inside or point.efficiency <= NEAR else "warning",
            topic="measurement",
            text=f"{point.name}: an efficiency of {_shown(point)} is noise in the baseline, not a gain: "
            + (
                "its interval includes 100 %."
                if inside
                else "no interval is known, so nothing can be said beyond about 100 %."
                if half is None
                else "even its interval excludes 100 %, so the baseline was measured under worse conditions."
            )
            + (
                " Some node is slower than the others, and the baseline may have been measured on it." if slower else ""
            ),
            figures={"efficiency": point.efficiency, "efficiency_ci95": half},
            advice="Say 'about 100 %', and measure the baseline for longer before claiming more.",
            part=_part(record, point),
        )


def noisy_baseline(record: ExecutionRecord) -> Iterator[Finding]:
    """An efficiency to a tenth of a percent, over a baseline that is known to five or not at all."""
    for alone in record.scaling.baselines if record.scaling else []:
        rate = alone.tokens_per_second
        share = rate.ci95 / rate.value if rate.ci95 is not None and rate.value else None
        if share is not None and share <= NOISY:
            continue
        known = f"known to ± {100 * share:.1f} %" if share is not None else "so short that its scatter is not known"
        took = f" ({alone.samples_completed} samples)" if alone.samples_completed is not None else ""
        yield Finding(
            rule="noisy-baseline",
            severity="warning",
            topic="measurement",
            text=f"The baseline of one {alone.kind} worker is {known}{took}: an efficiency over it is no surer.",
            figures={
                "tokens_per_second": rate.value,
                "ci95_share": share,
                "samples": alone.samples_completed,
                "seconds": alone.seconds,
            },
            advice="Let the test last longer (more samples of each node): every twentieth of it has to see two "
            "completions at least, and batches that end together need several of them.",
            part=record.scaling.part if record.scaling else None,
        )


def _part(record: ExecutionRecord, point: ScalingPoint) -> str | None:
    """The benchmark that the point is of; a step of the scaling is of the benchmark with the baseline."""
    if record.result(point.name) is not None:
        return point.name
    return record.scaling.part if record.scaling else None


def _points(record: ExecutionRecord) -> list[ScalingPoint]:
    return [p for p in record.scaling.points if p.workers > 1] if record.scaling else []


def _of(rule: Rule, record: ExecutionRecord, part: str) -> list[Finding]:
    return [finding for finding in rule(record) if finding.part in (None, part)]


def _shown(point: ScalingPoint) -> str:
    assert point.efficiency is not None
    half = point.efficiency_ci95
    return f"{100 * point.efficiency:.1f} %" + (f" ± {100 * half:.1f}" if half is not None else "")
