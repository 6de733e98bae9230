"""Are the answers answers? How they end, how long they are, and three of them to read."""

from __future__ import annotations

import numpy as np

from harness.report.charts import histogram
from harness.report.document import Block, Chart, Charts, Folded, Section, Table, Text
from harness.report.sections.execution.words import ratio, share
from harness.rundir.execution import ExecutionRecord
from harness.rundir.execution_results import Answer, Quality
from harness.text import number


def section(record: ExecutionRecord) -> Section:
    """Of each benchmark. No words are judged: that is what an accuracy run is for."""
    blocks: list[Block] = []
    for result in record.results:
        if result.quality is not None:
            blocks += _quality(result.part, result.quality)
    if not blocks:
        blocks = [Text(text="No response was recorded.")]
    return Section(title="Response quality", blocks=blocks)


def _quality(part: str, found: Quality) -> list[Block]:
    blocks: list[Block] = [
        Table(
            caption=f"Responses, {part}",
            columns=["", "count", "share"],
            numeric=frozenset({1, 2}),
            rows=[
                [name, number(count), share(ratio(count, found.responses))]
                for name, count in (
                    ("responses", found.responses),
                    ("finished by themselves", found.finished),
                    ("cut off at the limit", found.at_limit),
                    ("empty", found.empty),
                    ("attempts without usable output", found.failed),
                )
            ],
        ),
        Text(
            text=f"Length: from {number(found.shortest)} to {number(found.longest)} tokens, median "
            f"{number(found.median)}; "
            f"the longest is sample {number(found.longest_qsl_idx)}."
        ),
    ]
    if len(found.histogram) > 1:
        blocks.append(Charts(charts=[_chart(part, found)]))
    if found.answers:
        blocks.append(
            Folded(summary=f"{len(found.answers)} answers, {part}", blocks=[_answer(one) for one in found.answers])
        )
    return blocks


def _chart(part: str, found: Quality) -> Chart:
    return histogram(
        title=f"Length of the responses, {part}",
        x_label="output tokens",
        counts=np.array(found.histogram, dtype=np.float64),
        edges=np.array(found.edges, dtype=np.float64),
        description=f"{number(found.responses)} responses, median {number(found.median)} tokens",
    )


def _answer(answer: Answer) -> Text:
    where = f" on {answer.node}" if answer.node else ""
    said = answer.text if answer.text is not None else f"token ids {answer.token_ids} (no tokenizer at hand)"
    return Text(text=f"Sample {answer.qsl_idx}{where}, {number(answer.output_tokens)} tokens: {said}")
