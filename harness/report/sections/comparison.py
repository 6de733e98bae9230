"""Several runs beside each other; two of them with the noise of their difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.report.compare import Comparison, kind
from harness.report.document import Bar, Block, Cell, Items, Section, Table, Text
from harness.report.flat import value_text
from harness.report.groups import Group, by_settings, compare_groups
from harness.report.load import RunData
from harness.report.sections.verdict import verdict
from harness.text import UNKNOWN, number


def sections(runs: Sequence[RunData]) -> list[Section]:
    """An overview of all runs, then each later run against the first of its kind: what another scenario measured means
    something else.
    """
    out = [Section(title="Runs", blocks=[_overview(runs)])]
    kinds: dict[object, list[RunData]] = {}
    for run in runs:
        kinds.setdefault(kind(run), []).append(run)
    for alike in kinds.values():
        out += _of_one_kind(alike)
    return out


def _of_one_kind(runs: Sequence[RunData]) -> Iterator[Section]:
    first, *others = by_settings(runs)
    if not others:  # repeats of one setting: each beside the first
        first, others = [runs[0]], [[run] for run in runs[1:]]
    for group in others:
        title = f"{_called(group)} against {_called(first)}"
        yield Section(title=title, blocks=blocks(compare_groups(first, group)))


def _called(group: Group) -> str:
    return group[0].name if len(group) == 1 else f"{group[0].name} and {len(group) - 1} repeat(s)"


def blocks(found: Comparison) -> list[Block]:
    """A comparison of two runs."""
    names = [f"A: {_called(found.a_runs or [found.a])}", f"B: {_called(found.b_runs or [found.b])}"]
    out: list[Block] = [Items(items=[(note, "") for note in found.notes])]
    if found.figures:
        out.append(
            Table(
                caption="Figures",
                numeric=frozenset(range(1, 5)),
                columns=["figure", *names, "change", "95 % interval", "verdict"],
                rows=[
                    [
                        f"{f.name}, {f.unit}",
                        number(f.a),
                        number(f.b),
                        f"{100 * f.change:+.2f} %",
                        f.interval,
                        f.verdict,
                    ]
                    for f in found.figures
                ],
            )
        )
    if found.settings:
        out.append(
            Table(
                caption="Settings that differ",
                columns=["setting", *names],
                rows=[[key, value_text(a), value_text(b)] for key, a, b in found.settings],
            )
        )
    else:
        out.append(Text(text="No setting differs."))
    return out


def _overview(runs: Sequence[RunData]) -> Table:
    most = max((_tokens(run) or 0 for run in runs), default=0) or 1.0
    rows: list[list[Cell]] = []
    for run in runs:
        tokens = _tokens(run)
        rows.append(
            [
                run.name,
                f"{run.scenario} {run.mode}",
                verdict(run)[0],
                Bar(text=number(tokens), share=(tokens or 0) / most),
                number(run.result.samples_per_second if run.result else None),
                number(run.percentile_ms("ttft")),
                number(run.percentile_ms("tpot")),
                number(run.energy.joules_per_sample if run.energy else None),
                UNKNOWN if run.accuracy is None else f"{run.accuracy.rouge1:.2f}",
            ]
        )
    return Table(
        caption="Runs",
        numeric=frozenset({4, 5, 6, 7, 8}),
        rows=rows,
        columns=[
            *("run", "test", "verdict", "tokens/s", "samples/s"),
            *("TTFT p99, ms", "TPOT p99, ms", "J a sample", "ROUGE-1"),
        ],
    )


def _tokens(run: RunData) -> float | None:
    return run.result.tokens_per_second if run.result else None
