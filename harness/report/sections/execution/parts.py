"""Each benchmark: its status, and if it has no result, why."""

from __future__ import annotations

from harness.report.document import Block, Folded, Items, Section, Table, Text, Tone
from harness.report.sections.execution.words import lasted, seconds, text, took
from harness.rundir.execution import ExecutionRecord, Part
from harness.text import UNKNOWN, number


def section(record: ExecutionRecord) -> Section:
    """A table of all, and of each its cause and its runs."""
    rows = [
        [part.name, part.verdict, number(part.exit_code), lasted(part), text(part.analysis)] for part in record.parts
    ]
    blocks: list[Block] = [
        Table(
            caption="Benchmarks",
            columns=["benchmark", "status", "exit code", "duration", "analysis"],
            numeric=frozenset({2, 3}),
            rows=rows,
        )
    ]
    for part in record.parts:
        blocks += _cause(part)
        if part.runs:
            blocks.append(_runs(part))
    return Section(title="Benchmarks", blocks=blocks)


def _cause(part: Part) -> list[Block]:
    if part.cause is None:
        return []
    where = f" on {part.cause.node}" if part.cause.node else ""
    log = f" (log: {part.cause.log})" if part.cause.log else ""
    return [Text(text=f"{part.name}, first error{where}: {part.cause.first_error}{log}", tone="bad")]


def _from_ms(value: float | None) -> float | None:
    return None if value is None else value / 1e3


def _runs(part: Part) -> Block:
    table = Table(
        caption=f"Runs of {part.name}, with the rates and latencies that LoadGen states",
        columns=[
            "run",
            "scenario",
            "mode",
            "verdict",
            "duration",
            "samples/s",
            "tokens/s",
            "TTFT p99",
            "TPOT p99",
            "ROUGE-L",
        ],
        numeric=frozenset(range(4, 10)),
        rows=[
            [
                run.name,
                text(run.scenario),
                text(run.mode),
                run.state or UNKNOWN,
                took(run.seconds),
                number(run.samples_per_second),
                number(run.tokens_per_second),
                seconds(_from_ms(run.ttft_p99_ms)),
                seconds(_from_ms(run.tpot_p99_ms)),
                number(run.rouge_l),
            ]
            for run in part.runs
        ],
    )
    reasons: list[tuple[str, Tone]] = [
        (f"{run.name}: {reason}", "bad") for run in part.runs for reason in run.invalid_reasons
    ]
    return Folded(
        summary=f"Runs of {part.name}: {len(part.runs)}",
        blocks=[table, *([Items(items=reasons)] if reasons else [])],
    )
