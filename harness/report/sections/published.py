"""Where the run stands among published results."""

from __future__ import annotations

from harness.report.document import Bar, Block, Cell, Folded, Items, Section, Table, Text
from harness.report.load import RunData
from harness.report.published import Published, Standing, standing
from harness.text import number

_UNIT = (
    "Samples/s is the unit, since submissions count one token more or less for the same sample; ≈ is worked out "
    "from the published tokens/s. An unofficial place: this run was not reviewed by MLCommons."
)
MOST_REASONS = 5


def sections(run: RunData) -> list[Section]:
    """The run among MLCommons' published results, or nothing where there are none of its kind."""
    found = standing(run)
    if found is None:
        return []
    what = f"Published {run.scenario.directory} results"
    blocks: list[Block] = _where(found)
    if found.same:
        blocks.append(_ranking(run, found, found.same, caption=f"{what} on {found.accelerator}"))
    every = _ranking(run, found, found.peers, caption=f"{what} per accelerator")
    blocks.append(Folded(summary="Every accelerator", blocks=[every]))
    sources = "; ".join(sorted({row.source for row in found.peers}))
    blocks.append(Text(text=f"{_UNIT} Sources: {sources}."))
    return [Section(title="Among published results", blocks=blocks)]


def _where(found: Standing) -> list[Block]:
    """The run's place in a sentence, or why it has none."""
    each = f"{found.per_accelerator:,.2f} samples/s for each of {found.count} accelerator{'s'[: found.count > 1]}"
    if found.not_comparable:
        shown, more = found.not_comparable[:MOST_REASONS], len(found.not_comparable) - MOST_REASONS
        blocks: list[Block] = [
            Text(text=f"NOT comparable with published results. {each} would stand here, but:", tone="warn"),
            Items(items=[(reason, "warn") for reason in shown]),
        ]
        return [*blocks, Text(text=f"And {more} more; the verdict lists them.")] if more > 0 else blocks
    if not found.same:
        return [Text(text=f"{each}. No result on this accelerator was published.")]
    rank, best = 1 + sum(row.per_accelerator > found.per_accelerator for row in found.same), found.same[0]
    return [
        Text(
            text=f"{each}: place {rank} of {len(found.same) + 1} on {found.accelerator}, "
            f"{100 * found.per_accelerator / best.per_accelerator:.1f} % of the best published one "
            f"({best.submitter}, {best.round})."
        )
    ]


def _ranking(run: RunData, found: Standing, rows: list[Published], *, caption: str) -> Table:
    most = max([found.per_accelerator, *(row.per_accelerator for row in rows)])
    engine = str((run.session.get("engine") or {}).get("name", "–"))
    name = f"{run.name}, not comparable" if found.not_comparable else run.name
    own: list[Cell] = [
        f"this run ({name})",
        ", ".join(sorted(set(run.gpu_names))) or "CPU",
        str(found.count),
        Bar(text=f"{found.per_accelerator:,.2f}", share=found.per_accelerator / most, strong=True),
        number(run.result.get("tokens_per_second")),
        engine,
    ]
    table = [(found.per_accelerator, own), *((row.per_accelerator, _row(row, most)) for row in rows)]
    table.sort(key=lambda item: item[0], reverse=True)
    return Table(
        caption=caption,
        rows=[cells for _, cells in table],
        numeric=frozenset({2, 4}),
        columns=["result", "accelerator", "count", "samples/s per accelerator", "tokens/s in all", "software"],
    )


def _row(row: Published, most: float) -> list[Cell]:
    note = f" ({row.note})" if row.note else ""
    about = "≈ " if row.estimated else ""
    return [
        f"{row.submitter}, {row.system}, {row.round}{note}",
        row.accelerator,
        str(row.count),
        Bar(text=f"{about}{row.per_accelerator:,.2f}", share=row.per_accelerator / most),
        f"{row.tokens_per_s:,.0f}",
        ", ".join(part for part in (row.software, row.precision) if part) or "–",
    ]
