"""What to do, what was shown, and the conclusion: from the findings and the figures, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.rundir.execution import OTHER_MODEL, ExecutionRecord
from harness.rundir.execution_results import Finding, Recommendation, ScalingPoint
from harness.text import date, number

TOPICS = ("correctness", "performance", "measurement")


def recommendations(findings: Sequence[Finding]) -> list[Recommendation]:
    """Each advice once, with the rules that it comes from; correctness first."""
    found: dict[str, Recommendation] = {}
    for finding in findings:
        if not finding.advice:
            continue
        one = found.setdefault(finding.advice, Recommendation(topic=finding.topic, text=finding.advice))
        if finding.rule not in one.rules:
            one.rules.append(finding.rule)
    return sorted(found.values(), key=lambda one: TOPICS.index(one.topic))


def achievements(record: ExecutionRecord) -> list[str]:
    """What worked, each with its figure; nothing that a finding takes back."""
    return [*_complete(record), *_rates(record), *_scaling(record)]


def _complete(record: ExecutionRecord) -> Iterator[str]:
    for result in record.results:
        if result.samples_asked and result.samples_completed >= result.samples_asked and not result.samples_lost:
            nodes = f" on {result.nodes_active} node(s)" if result.nodes_active else ""
            what = f"{result.part}, {result.scenario}" if result.part == "datacenter" else result.part
            yield f"{what}: all {number(result.samples_completed)} samples were answered{nodes}."


def _rates(record: ExecutionRecord) -> Iterator[str]:
    short = {finding.part for finding in record.findings if finding.rule == "short-test"}
    for result in record.results:
        if result.tokens_per_second is not None and record.counts(result) and result.part not in short:
            yield f"{result.part}: {number(result.tokens_per_second.value)} tokens/s in a valid test."


def _scaling(record: ExecutionRecord) -> Iterator[str]:
    if {finding.rule for finding in record.findings} & {"shared-processors", "noisy-baseline", OTHER_MODEL}:
        return
    for point in record.scaling.points if record.scaling else []:
        known = point.efficiency is not None and point.efficiency_ci95 is not None and point.valid is not False
        if known and point.efficiency is not None and point.workers > 1 and 0.95 <= point.efficiency <= 1:
            yield f"{point.name}: {point.workers} workers reach {100 * point.efficiency:.1f} % of what they do alone."


def conclusion(record: ExecutionRecord) -> str:
    """One or two sentences: what can be relied upon, and what cannot; first of all if it was ended before its end."""
    if record.interrupted is None:
        return _outcome(record)
    return f"Interrupted at {date(record.interrupted)}; the same command goes on from here. {_outcome(record)}"


def _outcome(record: ExecutionRecord) -> str:
    done = [part.name for part in record.parts if part.status == "done"]
    bad = [f"{part.name} ({part.verdict})" for part in record.parts if part.status != "done"]
    text = f"{len(done)} of {len(record.parts)} benchmarks ended with a valid result"
    text += f": {', '.join(done)}." if done else "."
    if bad:
        text += f" Without one: {', '.join(bad)}."
    if mixed := next((finding for finding in record.findings if finding.rule == OTHER_MODEL), None):
        return f"{text} But no figure counts: {mixed.text}"
    losses = [(result.part, lost) for result in record.results if (lost := result.samples_lost)]
    if losses:
        told = ", ".join(f"{part} lost {number(lost)} samples" for part, lost in losses)
        return f"{text} {told[0].upper()}{told[1:]}, so that its figures do not count."
    point = _last(record)
    if point is None or point.efficiency is None:
        return f"{text} Nothing is known of scaling."
    if point.efficiency > 1:
        return f"{text} The efficiency of {100 * point.efficiency:.1f} % {_too_good(point)}."
    half = f" ± {100 * point.efficiency_ci95:.1f}" if point.efficiency_ci95 is not None else " (interval unknown)"
    return f"{text} {point.workers} workers reach {100 * point.efficiency:.1f} %{half} of what they do alone."


def _too_good(point: ScalingPoint) -> str:
    """What an efficiency above 100 % comes to."""
    half = point.efficiency_ci95
    if half is None:
        return "shows no gain: its interval is not known, so that nothing can be said beyond about 100 %"
    if point.efficiency is not None and point.efficiency - half <= 1:
        return "is no more than 100 % within its noise"
    return f"± {100 * half:.1f} shows no gain: the baseline was measured under worse conditions"


def _last(record: ExecutionRecord) -> ScalingPoint | None:
    """The point of most workers; None where there was but one, which says nothing of scaling."""
    last = record.scaling.points[-1] if record.scaling and record.scaling.points else None
    return last if last is not None and last.workers > 1 else None
