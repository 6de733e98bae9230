"""What is wrong, what held it back, what to do, and what can be relied upon."""

from __future__ import annotations

from harness.report.document import Block, Folded, Items, Section, Table, Text, Tone
from harness.report.sections.execution.words import SEVERITY
from harness.rundir.execution import ExecutionRecord
from harness.rundir.execution_results import Finding
from harness.text import UNKNOWN, number

TOPICS = {
    "correctness": "So that the results count",
    "performance": "For more speed",
    "measurement": "For figures that bear more",
}
SHOWN = 3
GROUPS = {"critical": "Critical issues", "warning": "Bottlenecks and warnings", "note": "Notes"}


def issues(record: ExecutionRecord) -> Section:
    """By severity, and the figures behind them."""
    blocks: list[Block] = []
    for severity, title in GROUPS.items():
        found = [finding for finding in record.findings if finding.severity == severity]
        if found:
            tone: Tone = SEVERITY[severity]
            blocks += [Text(text=f"{title}:"), Items(items=[(text, tone) for text in _told(found)])]
    if record.findings:
        blocks.append(Folded(summary="The figures behind them", blocks=[_figures(record.findings)]))
    return Section(title="Issues and bottlenecks", blocks=blocks or [Text(text="None found.")])


def _told(found: list[Finding]) -> list[str]:
    """Each, but of those that many nodes share the first few, with the names of the others."""
    groups: dict[tuple[str, str | None], list[Finding]] = {}
    for finding in found:
        groups.setdefault((finding.rule, finding.part), []).append(finding)
    texts = []
    for group in groups.values():
        texts += [finding.text for finding in group[:SHOWN]]
        if rest := [finding.node or "?" for finding in group[SHOWN:]]:
            texts[-1] += f" The same of {len(rest)} more: {', '.join(rest)}."
    return texts


def _figures(found: list[Finding]) -> Table:
    return Table(
        caption="Findings by rule",
        columns=["rule", "severity", "benchmark", "node", "figures"],
        rows=[
            [
                finding.rule,
                finding.severity,
                finding.part or UNKNOWN,
                finding.node or UNKNOWN,
                ", ".join(f"{name} {_shown(value)}" for name, value in finding.figures.items()),
            ]
            for finding in found
        ],
    )


def _shown(value: float | str | None) -> str:
    return value if isinstance(value, str) else number(value)


def advice(record: ExecutionRecord) -> Section:
    """Three groups; an empty one is left out."""
    blocks: list[Block] = []
    for topic, title in TOPICS.items():
        found = [one for one in record.recommendations if one.topic == topic]
        if found:
            blocks += [Text(text=f"{title}:"), Items(items=[(one.text, "") for one in found])]
    return Section(title="Recommendations", blocks=blocks or [Text(text="None.")])


def conclusion(record: ExecutionRecord) -> Section:
    """What was shown, and the sentence at the end."""
    blocks: list[Block] = [Items(items=[(text, "good") for text in record.achievements])] if record.achievements else []
    return Section(title="Conclusion", blocks=[*blocks, Text(text=record.conclusion or "Nothing was measured.")])
